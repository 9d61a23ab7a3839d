/** The closed set of errors of rgru: the same names, with the same meaning, as in Python. */

/** Base of every error that is raised on purpose. */
export class RgruError extends Error {
  override name = 'RgruError';
}

/** The data does not begin with the signature of a .rgru file (SPEC section 3). */
export class NotRgru extends RgruError {
  override name = 'NotRgru';
}

/** The file is sound but asks for something that this decoder does not know. */
export class UnsupportedVersion extends RgruError {
  override name = 'UnsupportedVersion';
}

/** The data breaks a rule of SPEC, or a checksum fails. */
export class Damaged extends RgruError {
  override name = 'Damaged';

  /**
   * @param reason what is wrong, in words
   * @param layer layer (from 1) that the faulty element belongs to or stands before; null: the header, a model
   * @param offset where the faulty structure begins, in bytes
   */
  constructor(
    readonly reason: string,
    readonly layer: number | null = null,
    readonly offset: number | null = null,
  ) {
    const places = [layer === null ? [] : `layer ${layer}`, offset === null ? [] : `byte ${offset}`].flat();
    super(places.length ? `${reason} (${places.join(', ')})` : reason);
  }
}

/** The data asks for more than a limit allows. */
export class LimitExceeded extends RgruError {
  override name = 'LimitExceeded';

  /**
   * @param limit the limit, a field of `Limits`
   * @param value what the data asks for
   * @param most what is allowed
   */
  constructor(
    readonly limit: string,
    readonly value: number,
    readonly most: number,
    message = `${limit}: ${value} is over the limit of ${most}; pass limits: {${limit}: ...} to allow more`,
  ) {
    super(message);
  }
}

/** The machine has not the memory that the work takes. */
export class OutOfMemory extends LimitExceeded {
  override name = 'OutOfMemory';

  /** @param what it takes it for, in words */
  constructor(readonly what: string) {
    super('memory', 0, 0, `not enough memory for ${what}`);
  }
}

/** The file was written with a model that is not at hand. */
export class ModelMissing extends RgruError {
  override name = 'ModelMissing';

  /**
   * @param modelId in hexadecimal, as in the header
   * @param where where it was looked for, or what went wrong, in words
   */
  constructor(
    readonly modelId: string,
    readonly where = '',
  ) {
    super(`the file needs model ${modelId}, which cannot be had${where ? ` (${where})` : ''}`);
  }
}

/** An argument of the caller (picture, codes, model, option) cannot be represented. */
export class InvalidInput extends RgruError {
  override name = 'InvalidInput';
}

/** A picture of another format cannot be read: no known format, damaged, or cut short. */
export class Unreadable extends InvalidInput {
  override name = 'Unreadable';
}

const KINDS = { RgruError, NotRgru, UnsupportedVersion, InvalidInput, Unreadable };

/** An error as plain data, which workers can send. */
export interface Told {
  name: string;
  message: string;
  values: unknown[];
}

/** Any error as plain data. */
export function tell(error: unknown): Told {
  const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
  let values: unknown[] = [message];
  if (error instanceof Damaged) values = [error.reason, error.layer, error.offset];
  else if (error instanceof OutOfMemory) values = [error.what];
  else if (error instanceof LimitExceeded) values = [error.limit, error.value, error.most];
  else if (error instanceof ModelMissing) values = [error.modelId, error.where];
  return { name, message, values };
}

/** The error that `tell` told. */
export function untell({ name, message, values }: Told): Error {
  if (name === 'Damaged') return new Damaged(...(values as ConstructorParameters<typeof Damaged>));
  if (name === 'LimitExceeded') return new LimitExceeded(...(values as ConstructorParameters<typeof LimitExceeded>));
  if (name === 'OutOfMemory') return new OutOfMemory(...(values as ConstructorParameters<typeof OutOfMemory>));
  if (name === 'ModelMissing') return new ModelMissing(...(values as ConstructorParameters<typeof ModelMissing>));
  if (name === 'AbortError') return new DOMException(message, name);
  const Kind = KINDS[name as keyof typeof KINDS];
  return Kind ? new Kind(message) : Object.assign(new Error(message), { name });
}
