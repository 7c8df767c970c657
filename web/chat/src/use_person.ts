// A hook that shows a person again whenever something about it has changed. With React it is the same two lines.

import { useEffect, useReducer } from 'preact/hooks';
import type { Person } from './person';

export function usePerson(person: Person): Person {
  const [, again] = useReducer((count: number) => count + 1, 0);
  useEffect(() => person.subscribe(() => again(undefined as never)), [person]);
  return person;
}
