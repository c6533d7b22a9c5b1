/** For how long a causeway is dry, from the readings of a tide gauge. */
import { readFileSync } from 'node:fs';

/** Begin and end of the time between two readings in which the causeway is dry; null where it never is. */
function dryPart(level, first, second) {
  const isDryFirst = first.height <= level;
  const isDrySecond = second.height <= level;
  if (!isDryFirst && !isDrySecond) return null;
  if (isDryFirst && isDrySecond) return { start: first.minute, end: second.minute };
  const share = (level - first.height) / (second.height - first.height);
  const crossing = first.minute + share * (second.minute - first.minute);
  return isDryFirst ? { start: first.minute, end: crossing } : { start: crossing, end: second.minute };
}

/** All minutes in which the causeway is dry, and those of the longest stretch. */
function dryTimes(level, readings) {
  let total = 0;
  let longest = 0;
  let stretch = { start: 0, end: -1 };
  for (let index = 1; index < readings.length; index += 1) {
    const part = dryPart(level, readings[index - 1], readings[index]);
    if (part === null) continue;
    total += part.end - part.start;
    stretch = stretch.end === part.start ? { start: stretch.start, end: part.end } : part;
    longest = Math.max(longest, stretch.end - stretch.start);
  }
  return [total, longest];
}

const [[level, count], ...rest] = readFileSync(0, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => line.split(' ').map(Number));
const readings = rest.slice(0, count).map(([minute, height]) => ({ minute, height }));
for (const minutes of dryTimes(level, readings)) console.log(String(minutes));
