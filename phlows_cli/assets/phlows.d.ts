// Types of phlows.js, for /phlows.mjs and for the script, whose global is `phlows`.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
type Several<T> = T | T[]
type BySelector<T> = Several<{ [selector: string]: T }>
type Text = string | number

/** What the page does with a message; a key that is none of these is a command of `apply.on`. */
export interface Commands {
  inner?: BySelector<Several<Text>>
  outer?: BySelector<Several<Text>>
  before?: BySelector<Several<Text>>
  after?: BySelector<Several<Text>>
  prepend?: BySelector<Several<Text>>
  append?: BySelector<Several<Text>>
  /** HTML that takes the place of <main>, or of the body's content where there is none. */
  main?: Several<string>
  remove?: Several<string>
  attr?: BySelector<{ [name: string]: Text | boolean | null }>
  value?: BySelector<Text | boolean | null>
  data?: BySelector<{ [key: string]: Json }>
  /** Names to add, "-name" to remove, "!name" to toggle. */
  class?: BySelector<Several<string>>
  title?: string
  lang?: string
  options?: Several<string>
  settings?: { [key: string]: Json }
  path?: string
  pathReplace?: string
  trans?: true | Several<string>
  state?: boolean
  scroll?: Text
  css?: Several<string>
  /** Needs `allow: ['js']`. */
  js?: Several<string>
  /** Needs `allow: ['js']`. */
  defer?: Several<string>
  location?: string | true
  /** Needs `allow: ['call']`. */
  call?: Several<string | { [name: string]: Json }>
  error?: Several<Text>
  log?: unknown
  toast?: Several<Text | Notice>
  [custom: string]: unknown
}

export interface Notice {
  text: Text
  /** "error" is announced at once and stays; others are yours to style by `data-kind`. */
  kind?: string
  /** How long it stays; 0 is until it is dismissed. */
  seconds?: number
}

export type Right = 'js' | 'call'

export interface ApplyOptions {
  /** What commands of the server may do besides changing the page; nothing by default. */
  allow?: Several<Right>
}

export interface Apply {
  (commands: Several<Commands>, options?: ApplyOptions): void
  /** Registers a command, in the place of a built-in one if it has its name; returns what removes it. */
  on(name: string, fn: (value: any, commands: Commands) => void): () => void
  /** The functions that the command `call` may name. */
  calls: { [name: string]: (argument?: any) => void }
}

type Token = string | null | undefined

export interface ConnectOptions extends ApplyOptions {
  /** An address or a path; `/websocket` of this site by default. */
  url?: string
  /** For the auth message: a text, or a function that is asked at each attempt. Null sends none. */
  token?: Token | (() => Token | Promise<Token>)
  /** False applies nothing; a function is given each message in the place of `apply`. */
  apply?: boolean | ((message: any) => void)
  /** How many messages `send` keeps while there is no connection; 0 by default. */
  outbox?: number
  /** A message that your app answers, sent when a connection may be dead; none by default. */
  probe?: object
}

export type State = 'connecting' | 'open' | 'waiting' | 'offline' | 'stopped'

export interface Closed {
  code: number
  reason: string
  /** Milliseconds until the next attempt; Infinity: when the page is seen again; null: never. */
  retry: number | null
}

export interface Failure {
  message: any
  error?: unknown
  /** The message has come from the server, as {"error": ...}. */
  from?: 'server'
  /** The status of an HTTP answer. */
  status?: number
}

interface ClientEvents {
  connect: (client: Client) => void
  close: (closed: Closed) => void
  error: (failure: Failure) => void
  message: (message: any) => void
  state: (state: State, before: State) => void
}

export interface Client {
  readonly state: State
  /** Sends an object or an array; false when it could not be sent or kept. */
  send(message: object): boolean
  /** Subscribes, with an element until that has left the page; returns what ends it. */
  on<E extends keyof ClientEvents>(event: E, fn: ClientEvents[E], element?: Element): () => void
  /** Ends a function's subscriptions to an event, or all of them. */
  off<E extends keyof ClientEvents>(event: E, fn?: ClientEvents[E]): void
  /** Connects again after `close()` or a refusal. */
  open(options?: ConnectOptions): Client
  close(code?: number, reason?: string): void
}

export interface StreamOptions extends ApplyOptions, Omit<RequestInit, 'body'> {
  /** A plain object or an array is sent as JSON. With a body the method is POST. */
  body?: BodyInit | object | null
  apply?: boolean | ((line: any) => void)
  /** Characters that a line may have, 1,048,576 by default. */
  lineLimit?: number
}

export interface StreamResult {
  status: number
  lines: number
}

interface StreamEvents {
  message: (line: any) => void
  error: (failure: Failure) => void
  abort: () => void
  end: (result: StreamResult) => void
}

export interface Stream extends Promise<StreamResult> {
  on<E extends keyof StreamEvents>(event: E, fn: StreamEvents[E], element?: Element): () => void
  abort(): void
}

export function connect(options?: ConnectOptions): Client
export const apply: Apply
declare function stream(url: string | URL, options?: StreamOptions): Stream
export { stream as fetch }

interface Phlows {
  connect: typeof connect
  apply: Apply
  fetch: typeof stream
}
declare const client: Phlows
export default client

declare global {
  interface Window {
    phlows: Phlows
  }
  /** What the classic script brings. */
  const phlows: Phlows
}
