// transformers.js loads an image library that nothing here needs: text models see no images.
export default function sharp() {
  throw new Error('There is no image library here.');
}
