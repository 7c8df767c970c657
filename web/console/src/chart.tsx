// Lines over time, drawn by uPlot, with a legend of words and numbers that says what the lines show.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { bytes } from './format';

export interface Line {
  readonly name: string;
  readonly points: readonly (number | null)[];
}

interface ChartProps {
  readonly title: string;
  readonly about: string;
  readonly at: readonly number[];
  readonly lines: readonly Line[];
  readonly show: (value: number | null | undefined) => string;
}

const HEIGHT = 150;
/** Steps of an axis of bytes. */
const BINARY = Array.from({ length: 50 }, (_, power) => 2 ** power);
/** More lines than this are not told apart by their colour. */
const COLOURS = 6;

const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** `light-dark()` is resolved where a colour is used, so it is asked of an element. */
function resolved(names: readonly string[]): string[] {
  const probe = document.createElement('span');
  document.body.append(probe);
  const colours = names.map((name) => {
    probe.style.color = colour(name);
    return getComputedStyle(probe).color;
  });
  probe.remove();
  return colours;
}

function options(width: number, lines: readonly Line[], show: ChartProps['show'], hover: (at: number | null) => void): uPlot.Options {
  const [ink, grid, ...hues] = resolved(['--soft', '--line', ...Array.from({ length: COLOURS }, (_, at) => `--line-${at}`)]);
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis: uPlot.Axis = { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    padding: [8, 30, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: { x: { time: true }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, size: 30, gap: 9, space: 70, values: (_, splits, __, ___, step) => splits.map((at) => clock(at, step)) },
      { ...axis, size: 62, space: 30, values: (_, splits) => splits.map((value) => show(value)), ...(show === bytes ? { incrs: BINARY } : {}) },
    ],
    series: [
      {},
      ...lines.map((_, at) => ({ stroke: hues[at % COLOURS]!, width: 1.5, points: { show: false }, spanGaps: true })),
    ],
    hooks: { setCursor: [(plot) => hover(plot.cursor.idx ?? null)] },
  };
}

const two = (value: number) => String(value).padStart(2, '0');

function clock(seconds: number, step: number): string {
  const date = new Date(seconds * 1_000);
  const minute = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return step < 60 ? `${minute}:${two(date.getSeconds())}` : minute;
}

/** Changes with the theme, which colours are read from. */
function useThemeChanges(): number {
  const [changes, setChanges] = useState(0);
  useEffect(() => {
    const change = () => setChanges((at) => at + 1);
    const media = matchMedia('(prefers-color-scheme: dark)');
    media.addEventListener('change', change);
    const watch = new MutationObserver(change);
    watch.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    return () => {
      media.removeEventListener('change', change);
      watch.disconnect();
    };
  }, []);
  return changes;
}

export function Chart({ title, about, at, lines, show }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [hovered, setHovered] = useState<number | null>(null);
  const themes = useThemeChanges();
  const names = lines.map((line) => line.name).join('\n');
  const data = useMemo(
    () => [at.map((ms) => ms / 1_000), ...lines.map((line) => line.points)] as uPlot.AlignedData,
    [at.length, at[at.length - 1], at[0], names],
  );
  useEffect(() => {
    const element = box.current!;
    const made = new uPlot(options(element.clientWidth, lines, show, setHovered), data, element);
    plot.current = made;
    const resize = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      made.destroy();
    };
  }, [names, themes]);
  useEffect(() => plot.current?.setData(data), [data]);
  const index = hovered ?? at.length - 1;
  return (
    <figure class="chart panel">
      <figcaption>
        <h3>{title}</h3>
        <p class="about">{about}</p>
        <ul class={`legend ${lines.length > COLOURS ? 'many' : ''}`}>
          {lines.slice(0, COLOURS).map((line, place) => (
            <li key={line.name} class={`line-${place % COLOURS}`}><span class="key" aria-hidden="true" />{line.name}<b>{show(line.points[index])}</b></li>
          ))}
        </ul>
      </figcaption>
      <div class="plot" ref={box} aria-hidden="true" />
    </figure>
  );
}
