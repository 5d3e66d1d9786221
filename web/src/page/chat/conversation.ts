/** The conversation as data: what was asked and answered, and what becomes of it when a question is changed. */
import type { AnswerStats, ContentPart, FinishReason, Grounded, Message, ModelInfo, Segment } from '../../lib';
import type { Explanation } from '../base/explain';
import type { Picture } from './picture';

export interface Question {
  id: string;
  role: 'user';
  text: string;
  pictures: Picture[];
}

export interface AnswerTurn {
  id: string;
  role: 'assistant';
  text: string;
  status: 'running' | 'done' | 'failed';
  error?: Explanation;
  tokens: { id: number; text: string }[];
  segments: Segment[];
  reusedTokens: number;
  grounding: Grounded[];
  reason?: FinishReason;
  stats?: AnswerStats;
  /** What it was computed on. */
  device?: ModelInfo['device']['kind'];
}

export type Turn = Question | AnswerTurn;

/** What is written and shown, and waits to be sent. */
export interface Draft {
  text: string;
  pictures: readonly Picture[];
}

export const NO_DRAFT: Draft = { text: '', pictures: [] };

export class Conversation {
  turns: Turn[] = [];

  ask(text: string, pictures: readonly Picture[]): Question {
    const question: Question = { id: newId(), role: 'user', text, pictures: [...pictures] };
    this.turns.push(question);
    return question;
  }

  beginAnswer(): AnswerTurn {
    const answer: AnswerTurn = {
      id: newId(),
      role: 'assistant',
      text: '',
      status: 'running',
      tokens: [],
      segments: [],
      reusedTokens: 0,
      grounding: [],
    };
    this.turns.push(answer);
    return answer;
  }

  /** Removes a turn and all after it. */
  cutAt(turn: Turn): void {
    const at = this.turns.indexOf(turn);
    if (at >= 0) this.turns.length = at;
  }

  /** The turns before `turn`; all of them where it is not there. */
  before(turn?: Turn): Turn[] {
    const at = turn ? this.turns.indexOf(turn) : -1;
    return at < 0 ? this.turns : this.turns.slice(0, at);
  }
}

/** Not `crypto.randomUUID`, which pages over plain http lack. */
function newId(): string {
  return `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
}

/** Turns without the questions that got no word of an answer, as a failed one. */
function answered(turns: Turn[]): Turn[] {
  return turns.filter((turn, i) => {
    const answer = turn.role === 'user' ? turns[i + 1] : turn;
    return answer?.role !== 'assistant' || answer.text !== '';
  });
}

/** The pictures that are sent with `turns`, in order. */
export function picturesOf(turns: Turn[]): Picture[] {
  return answered(turns).flatMap((turn) => (turn.role === 'user' ? turn.pictures : []));
}

/** Turns as the library's messages. */
export function toMessages(turns: Turn[], system: string, maxTiles: number | undefined): Message[] {
  const messages: Message[] = system.trim() === '' ? [] : [{ role: 'system', content: system }];
  for (const turn of answered(turns)) {
    if (turn.role === 'assistant') {
      messages.push({ role: 'assistant', content: turn.text, ids: turn.tokens.map(({ id }) => id) });
      continue;
    }
    const pictures = turn.pictures.map(
      ({ blob }): ContentPart => ({ type: 'image', image: blob, ...(maxTiles === undefined ? {} : { maxTiles }) }),
    );
    messages.push({ role: 'user', content: [...pictures, { type: 'text', text: turn.text }] });
  }
  return messages;
}
