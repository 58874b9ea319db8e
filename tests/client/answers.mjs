// Writes build/answers.json: one response body for every operation and status of the document, made from its schema. Every
// open enumeration in them has a value that no version knows yet.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const NEW_VALUE = 'added_later';
const document = JSON.parse(readFileSync(new URL('../../openapi/openapi.json', import.meta.url)));
const covered = new Set();

const resolve = (schema) =>
  schema.$ref ? resolve(schema.$ref.slice(2).split('/').reduce((value, name) => value[name], document)) : schema;

/** Whether a schema is the known values of an enumeration, or any string. */
const isOpen = (schema) => schema.anyOf?.some((item) => resolve(item).enum) && schema.anyOf.some((item) => item.type === 'string' && !item.enum);

/** A value of a schema: every property is present, no value is null, no list is empty. */
function sample(schema) {
  if (schema.$ref && isOpen(resolve(schema))) covered.add(schema.$ref.split('/').at(-1));
  schema = resolve(schema);
  if (isOpen(schema)) return NEW_VALUE;
  if (schema.enum) throw new Error(`a closed enumeration in a response: ${JSON.stringify(schema)}`);
  const alternatives = schema.oneOf ?? schema.anyOf;
  if (alternatives) return sample(alternatives.find((item) => item.type !== 'null'));
  const type = [schema.type].flat().find((type) => type !== 'null');
  switch (type) {
    case 'object':
      return {
        ...Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, of]) => [name, sample(of)])),
        ...(schema.additionalProperties && { key: sample(schema.additionalProperties) }),
      };
    case 'array':
      return [sample(schema.items)];
    case 'string':
      return schema.format === 'date-time' ? '2026-11-22T13:00:00Z' : 'text';
    case 'integer':
    case 'number':
      return 1;
    case 'boolean':
      return true;
    case undefined:
      return { any: 'JSON' };
  }
  throw new Error(`no sample for ${JSON.stringify(schema)}`);
}

const answers = [];
for (const [path, item] of Object.entries(document.paths)) {
  for (const [method, { operationId, tags, responses }] of Object.entries(item)) {
    for (const [status, response] of Object.entries(responses)) {
      const content = resolve(response).content ?? {};
      const mediaType = ['application/json', 'application/problem+json'].find((name) => content[name]);
      if (!mediaType) continue;
      const body = sample(content[mediaType].schema);
      answers.push({ path, method, operationId, tag: tags[0], status: Number(status), mediaType, body });
    }
  }
}

const open = Object.entries(document.components.schemas).filter(([, schema]) => isOpen(schema)).map(([name]) => name);
const missed = open.filter((name) => !covered.has(name));
if (open.length === 0 || missed.length > 0) throw new Error(`no response has ${missed.join(', ') || 'an open enumeration'}`);
mkdirSync(new URL('build/', import.meta.url), { recursive: true });
writeFileSync(new URL('build/answers.json', import.meta.url), JSON.stringify({ newValue: NEW_VALUE, open, answers }, null, 2));
