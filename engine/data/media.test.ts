import { expect, test } from 'vitest';
import { withoutMedia } from './media.ts';

test('pictures and sounds are dropped from rows, messages and parts with what stands in the texts for them', () => {
  const text = { type: 'text', text: 'What is here?' };
  const answer = { role: 'assistant', content: 'b' };
  expect(
    withoutMedia({
      images: ['a.png', 'b.png'],
      messages: [{ role: 'user', content: '<image>\nWhat is <image>\nhere? <image>' }, answer],
    }),
  ).toEqual({ row: { messages: [{ role: 'user', content: 'What ishere?' }, answer] }, dropped: 2 });
  expect(withoutMedia({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }, text] }, answer] })).toEqual(
    {
      row: { messages: [{ role: 'user', content: [text] }, answer] },
      dropped: 1,
    },
  );
  expect(withoutMedia({ conversations: [{ from: 'human', value: 'Say <audio>', audio: 'a.wav' }] })).toEqual({
    row: { conversations: [{ from: 'human', value: 'Say' }] },
    dropped: 1,
  });
});

test('a row without any stays what it is', () => {
  const row = { messages: [{ role: 'user', content: 'Write an <image> tag' }], images: [] };
  expect(withoutMedia(row)).toEqual({ row, dropped: 0 });
});
