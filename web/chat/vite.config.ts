// One page, one script, one style sheet, with names that the server knows: web/chat/dist is embedded in it.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  base: '/chat/',
  resolve: {
    alias: [
      { find: 'mushan-client', replacement: here('../../clients/js/src/index.ts') },
      // The kit's sources lie outside this folder; its dependency is this folder's.
      { find: /^@bufbuild\/protobuf$/, replacement: here('node_modules/@bufbuild/protobuf/dist/esm/index.js') },
      { find: '@bufbuild/protobuf/codegenv2', replacement: here('node_modules/@bufbuild/protobuf/dist/esm/codegenv2/index.js') },
    ],
  },
  build: {
    target: 'es2022',
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rollupOptions: {
      output: { entryFileNames: 'app.js', assetFileNames: 'app[extname]', inlineDynamicImports: true },
    },
  },
});
