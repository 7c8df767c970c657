// Keeps a box at its end while it grows, unless somebody has scrolled up.

import type { RefObject } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

const NEAR_PX = 40;

export interface Stick {
  /** To be called when the box scrolls. */
  scrolled(): void;
  /** To be called when its content has grown. */
  grown(): void;
  /** Goes to the end whatever was before. */
  toEnd(): void;
  isAtEnd(): boolean;
}

export function useStick(box: RefObject<HTMLElement | null>): Stick {
  const state = useRef({ isAtEnd: true, top: 0 });
  const stick: Stick = {
    scrolled() {
      const { scrollHeight, scrollTop, clientHeight } = box.current!;
      // Content that grows moves the end away, and nobody has scrolled.
      if (scrollHeight - scrollTop - clientHeight < NEAR_PX) state.current.isAtEnd = true;
      else if (scrollTop < state.current.top - 2) state.current.isAtEnd = false;
      state.current.top = scrollTop;
    },
    grown() {
      if (state.current.isAtEnd) stick.toEnd();
    },
    toEnd() {
      const element = box.current;
      if (element === null) return;
      element.scrollTop = element.scrollHeight;
      state.current = { isAtEnd: true, top: element.scrollTop };
    },
    isAtEnd: () => state.current.isAtEnd,
  };
  useEffect(() => {
    // A panel that was hidden has no height; a window may be resized.
    const observer = new ResizeObserver(() => stick.grown());
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  return stick;
}
