// What is looked for in the pages' modules and in the scripts of their tests: what `eslint:recommended` finds, and
// habits that these modules keep.

import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2023, sourceType: "module" },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", destructuredArrayIgnorePattern: "^_" }],
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  { files: ["assets/**"], languageOptions: { globals: { ...globals.browser, uPlot: "readonly" } } },
  { files: ["browser/**", "units/**"], languageOptions: { globals: { ...globals.node, ...globals.browser } } },
];
