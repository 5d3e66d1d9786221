/** What the page's side and the worker say to each other, method by method. */
import type { SourceProgress } from '../sources/http-files';
import type {
  AnswerEvent,
  Attention,
  EngineStats,
  ImageInfo,
  LoadOptions,
  LoadProgress,
  ModelInfo,
  Segment,
  SelfTest,
  Settings,
} from './contract';
import type { Method } from './peer';

/** Offered by the worker. */
export interface WorkerMethods {
  load: Method<LoadParams, ModelInfo, LoadEvent>;
  chat: Method<ChatParams, Finished, ChatEvent>;
  prepare: Method<{ image: Blob; maxTiles: number | undefined }, ImageInfo>;
  attention: Method<AttentionParams, Attention>;
  info: Method<undefined, ModelInfo>;
  stats: Method<undefined, EngineStats>;
  selfTest: Method<{ url: string }, SelfTest>;
  loseDevice: Method<undefined, void>;
}

/** Offered by the page's side: files that only it can read, and an ear. */
export interface PageMethods {
  size: Method<{ name: string }, number | undefined>;
  read: Method<{ name: string; from: number; to: number }, Uint8Array>;
  device: Method<DeviceEvent, void>;
}

export type Source =
  | { kind: 'url'; url: string; cache: boolean }
  | { kind: 'files'; files: File[] }
  | { kind: 'directory'; directory: FileSystemDirectoryHandle }
  /** A `ModelFiles` of the page's side. */
  | { kind: 'page' };

export interface LoadParams {
  source: Source;
  options: LoadOptions;
}

export type LoadEvent = { from: 'engine'; progress: LoadProgress } | { from: 'source'; progress: SourceProgress };

/** A chat message with its pictures in it. */
export interface WireMessage {
  role: 'system' | 'user' | 'assistant';
  text: string;
  images: WireImage[];
  ids?: number[];
}

export interface WireImage {
  image: Blob;
  maxTiles: number | undefined;
}

export interface ChatParams {
  messages: WireMessage[];
  settings: Settings;
}

/** Images in `segments` and in {@link Attention} are counted over all messages, from 0, as they are in the request. */
export type ChatEvent = { type: 'submitted'; segments: Segment[] } | AnswerEvent;
export type Finished = Extract<AnswerEvent, { type: 'finished' }>;

export interface AttentionParams {
  messages: WireMessage[];
  answerIds: number[];
  from: number;
  to: number;
}

/** The device was lost, is being opened anew, and is there again. Answers that were under way go on. */
export type DeviceEvent =
  | { type: 'lost'; message: string }
  | { type: 'recovering'; progress: LoadProgress }
  | { type: 'recovered'; device: ModelInfo['device'] };
