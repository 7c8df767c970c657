// The field to write in: text, a picture, or a text that is streamed word by word.

import type { Target } from 'mushan-client';
import { useRef, useState } from 'preact/hooks';
import { PictureIcon, SendIcon, StreamIcon } from './icons';
import { nameOf } from './model';
import type { Person } from './person';

const SAMPLE = 'A stream is a message that grows while its author writes it: every word is stored, numbered and pushed, and a reader who comes late reads the same.';
/** A picture's longest side, and its bytes as a data URL: content has 64 KiB. */
const PICTURE_SIDE = 480;
const PICTURE_BYTES_MAX = 56_000;

export function Composer({ person, target }: { person: Person; target: Target }) {
  const [text, setText] = useState('');
  const [fault, setFault] = useState('');
  const file = useRef<HTMLInputElement>(null);
  const say = () => {
    if (text.trim() === '') return;
    person.say(target, text.trim());
    setText('');
  };
  const stream = () => {
    void person.stream(target, text.trim() || SAMPLE);
    setText('');
  };
  const keyed = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    say();
  };
  const picked = async (input: HTMLInputElement) => {
    const chosen = input.files?.[0];
    input.value = '';
    if (chosen === undefined) return;
    try {
      person.show(target, await shrunk(chosen));
      setFault('');
    } catch {
      setFault('This file is not a picture.');
    }
  };
  return (
    <form class="composer" onSubmit={(event) => { event.preventDefault(); say(); }}>
      {fault && <p class="why" role="alert">{fault}</p>}
      <div class="composer-row">
        <input ref={file} class="unseen" type="file" accept="image/*" tabIndex={-1} aria-label="Picture file" onChange={(event) => void picked(event.currentTarget)} />
        <button type="button" class="tool icon-only" aria-label="Send a picture" title="Send a picture" onClick={() => file.current?.click()}><PictureIcon /></button>
        <textarea rows={1} value={text} placeholder={`Message ${nameOf(target)}`} aria-label={`Message ${nameOf(target)} as ${person.user}`} onInput={(event) => { setText(event.currentTarget.value); person.typing(target); }} onKeyDown={keyed} />
        <button type="button" class="tool icon-only" aria-label="Stream word by word" title="Stream word by word" onClick={stream}><StreamIcon /></button>
        <button type="submit" class="send" aria-label="Send" disabled={text.trim() === ''}><SendIcon /></button>
      </div>
    </form>
  );
}

/** The picture as a data URL that fits into a message. */
async function shrunk(file: File): Promise<{ url: string; width: number; height: number }> {
  const bitmap = await createImageBitmap(file);
  for (let side = PICTURE_SIDE; side > 60; side *= 0.75) {
    const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [Math.round(bitmap.width * scale), Math.round(bitmap.height * scale)];
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    canvas.getContext('2d')!.drawImage(bitmap, 0, 0, width, height);
    const url = canvas.toDataURL('image/jpeg', 0.8);
    if (url.length <= PICTURE_BYTES_MAX) return { url, width, height };
  }
  throw new Error('too large');
}
