export type {
  AnswerStats,
  Attention,
  BackendName,
  EngineStats,
  FinishReason,
  Grounded,
  ImageInfo,
  KvFormat,
  ModelFiles,
  ModelInfo,
  Segment,
  SelfTest,
  Settings,
  TierName,
  WeightFormat,
} from '../engine/contract';
export type { ChatEvent, DeviceEvent } from '../engine/messages';
export type { SourceProgress } from '../sources/http-files';
export type { Retry } from '../sources/retry';
export type { StoredModel } from '../sources/store';
export { Answer, type AnswerResult } from './answer';
export { type ErrorCode, MonolensError } from './errors';
export {
  type AttentionOptions,
  type ChatOptions,
  type ModelSource,
  Monolens,
  type MonolensOptions,
  type PrepareOptions,
  type Progress,
} from './monolens';
export type { ContentPart, ImagePart, ImageUrlPart, Message, TextPart } from './openai';
