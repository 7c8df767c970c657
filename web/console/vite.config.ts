// One page, one script, one style sheet. Their names have hashes: browsers keep them, and the build of the server finds
// them (build.rs), which embeds web/console/dist.
import { defineConfig } from 'vite';

export default defineConfig({
  base: '/console/',
  build: {
    target: 'es2022',
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rollupOptions: { output: { inlineDynamicImports: true } },
  },
});
