import { readFileSync } from 'node:fs';

const lines = readFileSync(0, 'utf8').split('\n');
const [level, count] = lines[0].split(' ');
// Your code comes here.
