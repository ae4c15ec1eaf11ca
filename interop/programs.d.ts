/** Declares the programs, which are installed beside this file only where they are tried. */
declare module 'node-llama-cpp';
declare module '@huggingface/transformers';
