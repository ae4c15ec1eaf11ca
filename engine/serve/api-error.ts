/** Defines what a request is refused with, in the form that clients of OpenAI's API read. */
import type { Problem } from '../problem.ts';

export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  /** Names the field of the request that is wrong, or is null where it is none. */
  readonly param: string | null;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    {
      param = null,
      headers = {},
    }: { readonly param?: string | null; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
    this.headers = headers;
  }

  /** Returns the body of the answer. */
  toBody(): object {
    const { message, param, code } = this;
    return { error: { message, type: typeOf(this.status), param, code } };
  }
}

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}

/** Makes the error of a field that is wrong or is not supported. */
export function wrongField(param: string, message: string, code = 'invalid_value'): ApiError {
  return new ApiError(400, code, message, { param });
}

/** Returns what a client is told of a problem of the engine. */
export function ofProblem({ code, message, hint }: Pick<Problem, 'code' | 'message' | 'hint'>): ApiError {
  const said = `${message} ${hint}`;
  switch (code) {
    case 'row-too-long':
      return new ApiError(400, 'context_length_exceeded', said, { param: 'messages' });
    case 'template-failed':
    case 'template-missing':
    case 'format-unsupported':
    case 'data-invalid':
    case 'request-invalid':
      return new ApiError(400, code, said, { param: 'messages' });
    case 'stopped':
    case 'job-crashed':
      return new ApiError(503, code, said);
    default:
      return new ApiError(500, code, said);
  }
}
