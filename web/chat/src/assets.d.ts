// What Vite turns into the page beside its script.
declare module "*.css";
