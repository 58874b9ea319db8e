// Open enumerations as a caller uses them: known values narrow, new ones pass through. `tsc --strict` checks every use.

import type { components } from './build/schema.js';

type Schemas = components['schemas'];
/** The names of all open enumerations: each has a schema of its known values. */
type OpenName = { [Name in keyof Schemas]: Name extends `Known${infer Open}` ? Open : never }[keyof Schemas];
/** The open enumerations that do not accept every string: there must be none. */
type Closed = { [Name in OpenName]: Name extends keyof Schemas ? (string extends Schemas[Name] ? never : Name) : Name }[OpenName];
export const everyEnumerationIsOpen: [Closed] extends [never] ? true : Closed = true;

/** Known values complete in an editor; any other string is accepted. */
export type Open<Known extends string> = Known | (string & {});

/** Narrows to the known values: a missing one does not compile, and a new one is returned unchanged. */
export function advice(status: Schemas['ItemStatus']): string {
  const known = status as Schemas['KnownItemStatus'];
  switch (known) {
    case 'succeeded':
      return 'nothing to do';
    case 'failed':
      return 'correct the item';
    case 'not_sent':
      return 'send it again';
    case 'unconfirmed':
      return 'read the customer first';
    default:
      return known satisfies never;
  }
}

// A value that this version does not know is of the type.
export const later: Schemas['ItemResult'] = { index: 0, status: 'added_later', problem: null };
export const status: Open<Schemas['KnownSourceStatus']> = 'added_later';

// @ts-expect-error the known values are closed
export const unknown: Schemas['KnownItemStatus'] = 'added_later';
// @ts-expect-error an enumeration is a string
export const number: Schemas['ItemStatus'] = 1;
