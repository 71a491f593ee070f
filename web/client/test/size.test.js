// The size that README.md tells: what a bundle gets that uses the client.
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = fileURLToPath(new URL('..', import.meta.url));
const limits = { core: 8.75 * 1024, everything: 10 * 1024, react: 1.5 * 1024, 'ai-sdk': 3 * 1024 };
const entries = {
  core: "export { Client } from './src/index.js'",
  everything: "export * from './src/index.js'",
  react: "export * from './react/index.js'",
  'ai-sdk': "export * from './ai-sdk/index.js'",
};

let esbuild, terser;
try {
  esbuild = await import('esbuild');
  terser = await import('terser');
} catch {
  // make test installs it; node --test alone works without.
}
const required = process.env.FLUENTPRO_TEST_REQUIRE === '1';

for (const [name, contents] of Object.entries(entries)) {
  test(`size of ${name}`, { skip: !terser && !required && 'npm ci brings esbuild and terser' }, async (t) => {
    const built = await esbuild.build({
      stdin: { contents, resolveDir: root }, bundle: true, format: 'esm', write: false, external: ['react'],
    });
    const { code } = await terser.minify(built.outputFiles[0].text, { module: true, ecma: 2020, compress: { passes: 3 } });
    const size = gzipSync(code, { level: 9 }).length;
    t.diagnostic(`${name}: ${size} bytes, minified and gzipped`);
    assert.ok(size <= limits[name], `${name} is ${size} bytes, the limit is ${limits[name]}`);
    const told = new RegExp(`\\| ${name} \\|[^|]*\\| ([\\d.]+) KB \\|`).exec(readFileSync(`${root}/README.md`, 'utf8'));
    assert.ok(told, `README.md does not tell the size of ${name}`);
    // Zlib differs a little between versions of Node.
    assert.ok(Math.abs(Number(told[1]) * 1024 - size) < 110, `README.md tells ${told[1]} KB, it is ${(size / 1024).toFixed(1)}`);
  });
}

test('no dependencies', () => {
  const { dependencies } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'));
  assert.equal(dependencies, undefined);
});
