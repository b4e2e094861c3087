// What is likely a mistake is an error; how the text looks is not checked.
import js from "@eslint/js";

export default [js.configs.recommended];
