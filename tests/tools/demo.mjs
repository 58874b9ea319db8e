// Starts `scrm-gateway demo` for a test and ends it, whatever becomes of the test.

import { spawn } from 'node:child_process';

const START_MS = 30_000;
const STOP_MS = 10_000;

/**
 * Runs the binary that SCRM_GATEWAY_BIN names and reads what it prints for a person: the address, the token, the curl
 * line and the customer that it asks for.
 */
export async function startDemo() {
  const binary = process.env.SCRM_GATEWAY_BIN;
  if (!binary) throw new Error('SCRM_GATEWAY_BIN names no binary; `make test` sets it');
  const child = spawn(binary, ['demo', '--port', '0'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (complaints += text));
  try {
    const said = await greeting(child);
    const find = (what, pattern) => {
      const found = said.match(pattern)?.[1];
      if (!found) throw new Error(`the demo prints no ${what}:\n${said}`);
      return found;
    };
    const curl = find('curl line', /^(curl .*)$/m);
    return {
      docs: find('address of the Swagger UI', /^Swagger UI +(http:\/\/\S+)$/m),
      token: find('token', /^Token +(\S+)$/m),
      curl,
      customerId: new URL(find('address in the curl line', /'(http:[^']*)'\s*$/m)).pathname.split('/').at(-1),
      async stop() {
        child.kill('SIGTERM');
        const timer = setTimeout(kill, STOP_MS);
        const end = await exited;
        clearTimeout(timer);
        process.off('exit', kill);
        if (end !== 0) throw new Error(`the demo ended with ${end}\n${complaints}`);
      },
    };
  } catch (error) {
    kill();
    process.off('exit', kill);
    throw new Error(`${error.message}\n${complaints}`);
  }
}

/** All that the process prints up to its last line. */
function greeting(child) {
  return new Promise((resolve, reject) => {
    let said = '';
    const timer = setTimeout(() => reject(new Error(`the demo did not start in ${START_MS} ms:\n${said}`)), START_MS);
    const gone = (why) => {
      clearTimeout(timer);
      reject(new Error(`the demo ended with ${why}:\n${said}`));
    };
    child.stdout.setEncoding('utf8').on('data', (text) => {
      said += text;
      if (!/^Stop with /m.test(said)) return;
      clearTimeout(timer);
      resolve(said);
    });
    child.once('error', gone);
    child.once('exit', (code, signal) => gone(code ?? signal));
  });
}
