// The virtual board in a Web Worker.
export {};
