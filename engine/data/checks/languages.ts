/** Lists how languages are recognized: by their script, or by their most common short words. */
import { hashText } from './hash.ts';

export type Script =
  'latin' | 'greek' | 'cyrillic' | 'hebrew' | 'arabic' | 'devanagari' | 'thai' | 'hangul' | 'kana' | 'han' | 'other';

/** Maps scripts to their one large language. Languages of the other scripts are told apart by words. */
export const languageOfScript: Partial<Readonly<Record<Script, string>>> = {
  ...{ greek: 'el', hebrew: 'he', arabic: 'ar', devanagari: 'hi', thai: 'th', hangul: 'ko', kana: 'ja', han: 'zh' },
};

const words: Readonly<Record<string, string>> = {
  en: 'the of and to in is you that it for on are with as i this be at have from or what how your can do does please an was we they not by which there',
  de: 'der die das und ist nicht ich du sie es ein eine mit auf für von dem den zu wie was wird sind auch als bitte im kann werden oder aus bei',
  fr: 'le la les des et est une un que qui dans pour pas vous je il elle sur avec ce du au sont plus comment quel quelle être ou cette nous',
  es: 'el la los las de y es que en un una por para con no se del como qué cómo su más son está al lo cuál puede hay muy',
  pt: 'o a os as de e é que em um uma por para com não se do da como mais são está no na você qual pode há muito dos',
  it: 'il la le gli di e è che un una per con non si del della come più sono nel lo i quale può questo anche mi ho ai delle',
  nl: 'de het een en is van dat ik je niet met voor op zijn er te hoe wat aan ook als bij naar kan worden of uit deze maar',
  pl: 'i w na z nie się jest to że do o jak co dla czy po od ale przez jego oraz tym może są lub proszę który która',
  sv: 'och är det att en ett som i på inte jag du för med av den till har hur vad kan om från eller men var så vi',
  da: 'og er det at en et som i på ikke jeg du for med af den til har hvordan hvad kan om fra eller men var så vi',
  no: 'og er det at en et som i på ikke jeg du for med av den til har hvordan hva kan om fra eller men var så vi',
  fi: 'ja on ei se että en hän mutta tai kun niin mitä miten ovat oli myös kuin joka voi tämä minä sinä olen',
  tr: 've bir bu ne için ile da de mi çok nasıl olarak daha var gibi ama ben sen o kadar olan mı',
  cs: 'a je se na v že to s z jak co pro do ne ale jsem jsou si tak by nebo po jako který která',
  hu: 'a az és hogy nem is egy van ez mi de meg mint már csak vagy hogyan kell lehet volt azt',
  ro: 'și este în la cu de nu că pe un o din pentru care mai ce cum sunt sau ca se al să',
  id: 'yang dan di ini itu dengan untuk tidak dari dalam adalah saya apa bagaimana pada akan ke atau bisa kamu anda',
  vi: 'là và của có không được cho một những với trong người này đã các tôi bạn như thế nào để',
  ru: 'и в не на что я с как это по но из у за от для так же вы он она они или какой есть',
  uk: 'і в не на що я з як це по але із у за від для так ви він вона вони або який є та',
  bg: 'и в не на че аз с как това по но от за са е се да или какво има ще тя той как',
};

/** Maps the hash of a common word to its languages. */
export const languagesOfWords: ReadonlyMap<number, readonly string[]> = (() => {
  const found = new Map<number, string[]>();
  for (const [language, list] of Object.entries(words))
    for (const word of new Set(list.split(' '))) {
      const hash = hashText(word);
      const known = found.get(hash);
      if (known === undefined) found.set(hash, [language]);
      else known.push(language);
    }
  return found;
})();
