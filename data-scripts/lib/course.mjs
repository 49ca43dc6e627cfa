import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { courseEnvironment } from '../steps/nbgrader.mjs';
import { temporaryFolder } from './notebooks.mjs';
import { venvProgram } from './places.mjs';
import { run } from './run.mjs';
import { SetupError } from './setup-error.mjs';

/**
 * A cell of a notebook, with what nbgrader knows of it.
 *
 * @typedef {object} Cell
 * @property {string} id
 * @property {'code' | 'markdown'} cell_type
 * @property {string[]} source
 * @property {{ jupyter?: { source_hidden?: boolean }, nbgrader?: { grade: boolean, solution: boolean, grade_id: string, points?: number } }} metadata
 * @property {{ data?: Record<string, unknown>, metadata?: Record<string, any> }[]} [outputs]
 */

/**
 * An answer that students give and that is wrong.
 *
 * @typedef {object} WrongAnswer
 * @property {string} cell with the blank; the cell `check-` and this name must fail
 * @property {string} code in the place of the solution
 * @property {string} says what the message must contain
 */

/** @param {string} root the project's folder */
export const courseFolder = (root) => path.join(root, 'notebooks', 'course');

/**
 * The notebook of the course that has no blanks.
 *
 * @param {string} root
 */
export const fromScratch = (root) => path.join(courseFolder(root), '00-tarflow-from-scratch.ipynb');

/**
 * The names of the units, in order.
 *
 * @param {string} root
 */
export function listUnits(root) {
  const folder = path.join(courseFolder(root), 'source');
  return readdirSync(folder).filter((unit) => existsSync(sourceFile(root, unit)));
}

/**
 * A unit with its solutions.
 *
 * @param {string} root
 * @param {string} unit
 */
export function sourceFile(root, unit) {
  return path.join(courseFolder(root), 'source', unit, `${unit}.ipynb`);
}

/**
 * The same for students.
 *
 * @param {string} root
 * @param {string} unit
 */
export function studentsFile(root, unit) {
  return path.join(courseFolder(root), `${unit}.ipynb`);
}

/**
 * @param {string} file
 * @returns {{ cells: Cell[] }}
 */
export function readNotebook(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/**
 * @param {string} root
 * @param {string} unit
 * @returns {WrongAnswer[]}
 */
export function wrongAnswers(root, unit) {
  const file = path.join(path.dirname(sourceFile(root, unit)), 'wrong-answers.json');
  return JSON.parse(readFileSync(file, 'utf8'));
}

/**
 * Changes with what a unit asks of its students, and not with the outputs of its cells.
 *
 * @param {string} root
 * @param {string} unit
 */
export function unitKey(root, unit) {
  const cells = readNotebook(sourceFile(root, unit)).cells;
  const asked = cells
    .filter(({ cell_type, metadata }) => cell_type === 'code' || metadata.nbgrader)
    .map(({ id, source, metadata }) => [id, source, metadata.nbgrader ?? null]);
  const text = JSON.stringify([asked, wrongAnswers(root, unit)]);
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/**
 * The students' versions of units, as nbgrader makes them, as the texts of their files.
 *
 * @param {import('./steps.mjs').Context} context
 * @param {readonly string[]} units
 * @returns {Promise<Map<string, string>>}
 */
export async function studentsVersions(context, units) {
  return withCourse(context, units, async (folder) => {
    await nbgraderCommand(context, ['release', folder, ...units]);
    return new Map(
      units.map((unit) => {
        const released = readFileSync(releasedFile(folder, unit), 'utf8');
        // It lies two folders above its source, so its links are shorter.
        return [unit, `${released.replaceAll('](../../', '](').trimEnd()}\n`];
      }),
    );
  });
}

/**
 * Hands in right, empty, gamed and wrong answers to a unit, has nbgrader grade them, in quick mode, and says what
 * did not come as it should.
 *
 * @param {import('./steps.mjs').Context} context
 * @param {string} unit
 * @param {number} [rounds] how many wrong answers to each blank at most
 * @returns {Promise<{ points: number, wrongAnswers: number, faults: string[] }>}
 */
export async function judgeUnit(context, unit, rounds = Infinity) {
  const { root } = context;
  const source = readNotebook(sourceFile(root, unit));
  const wrong = byRound(wrongAnswers(root, unit)).slice(0, rounds).flat();
  return withCourse(context, [unit], async (folder) => {
    await nbgraderCommand(context, ['release', folder, unit]);
    const released = readNotebook(releasedFile(folder, unit));
    const handedIn = submissions(source, released, wrong);
    for (const [student, cells] of Object.entries(handedIn)) {
      const file = path.join(folder, 'submitted', student, unit, `${unit}.ipynb`);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, JSON.stringify({ ...released, cells }));
    }
    const output = await nbgraderCommand(context, ['grade', folder, unit]);
    const [, json = '{}'] = /^##grades\t(.*)$/m.exec(output) ?? [];
    /** @type {Grades} */
    const grades = JSON.parse(json);
    const automatic = Object.values(grades.right ?? {}).filter(({ manual }) => !manual);
    return {
      points: automatic.reduce((sum, { most }) => sum + most, 0),
      wrongAnswers: wrong.length,
      faults: faultsOf(source, grades, wrong),
    };
  });
}

const textOf = (/** @type {Cell} */ { source }) => [source].flat().join('');
const isCheck = (/** @type {Cell} */ { metadata: { nbgrader } }) =>
  nbgrader?.grade && !nbgrader.solution;
const isBlank = (/** @type {Cell} */ { cell_type, metadata: { nbgrader } }) =>
  cell_type === 'code' && nbgrader?.solution;

/** @typedef {{ score: number, most: number, manual: boolean, message: string }} Grade */
/** @typedef {Record<string, Record<string, Grade>>} Grades students, then cells */

/** The students who hand in: the n-th wrong answer to each blank goes to `wrong-n`. */
const [right, empty, gamed] = ['right', 'empty', 'gamed'];
const wrongStudent = (/** @type {number} */ round) => `wrong-${round + 1}`;

/**
 * What each student hands in.
 *
 * @param {{ cells: Cell[] }} source
 * @param {{ cells: Cell[] }} released
 * @param {readonly WrongAnswer[]} wrong
 * @returns {Record<string, Cell[]>}
 */
function submissions(source, released, wrong) {
  const solved = released.cells.map((cell) => {
    const solution = source.cells.find(({ id }) => id === cell.id);
    return cell.metadata.nbgrader?.solution && solution
      ? { ...cell, source: solution.source }
      : cell;
  });
  const rounds = byRound(wrong).map((round, i) => [
    wrongStudent(i),
    solved.map((cell) => {
      const answer = round.find((each) => each.cell === cell.id);
      return answer ? { ...cell, source: [withAnswer(textOf(cell), answer.code)] } : cell;
    }),
  ]);
  return {
    [right]: solved,
    [empty]: released.cells,
    // A student who takes the checks away, which nbgrader puts back, and has one that passes all.
    [gamed]: released.cells.map((cell) => {
      if (isCheck(cell)) return { ...cell, source: [''] };
      const own = 'async function check(...all: any[]) {}';
      return isBlank(cell) ? { ...cell, source: [`${textOf(cell)}\n${own}`] } : cell;
    }),
    ...Object.fromEntries(rounds),
  };
}

/**
 * The first wrong answer to each blank, then the second, and so on.
 *
 * @param {readonly WrongAnswer[]} wrong
 */
function byRound(wrong) {
  /** @type {WrongAnswer[][]} */
  const rounds = [];
  for (const answer of wrong) {
    const round = rounds.find((each) => each.every(({ cell }) => cell !== answer.cell));
    if (round) round.push(answer);
    else rounds.push([answer]);
  }
  return rounds;
}

/**
 * A cell with a wrong answer between the marks of its solution.
 *
 * @param {string} source
 * @param {string} code
 */
function withAnswer(source, code) {
  return source.replace(/^[^\n]*BEGIN SOLUTION[\s\S]*END SOLUTION[^\n]*$/m, () => code);
}

/**
 * Grades that are not as they should be, in words.
 *
 * @param {{ cells: Cell[] }} source
 * @param {Grades} grades
 * @param {readonly WrongAnswer[]} wrong
 */
function faultsOf({ cells }, grades, wrong) {
  /** @type {string[]} */
  const faults = [];
  /** @type {(student: string, cell: string, says?: string) => void} */
  const expectGrade = (student, cell, says) => {
    const { score, most, message } = grades[student]?.[cell] ?? { score: -1, most: 0, message: '' };
    if (score !== (says === undefined ? most : 0)) {
      faults.push(`${student}: ${cell} has ${score} of ${most} points. It said: ${message || '–'}`);
    } else if (says !== undefined && !message.includes(says)) {
      faults.push(`${student}: ${cell} should say '${says}', and said: ${message || '–'}`);
    }
  };
  const blanks = cells.filter(isBlank);
  for (const { id } of blanks) {
    const check = `check-${id}`;
    expectGrade(right, check);
    for (const student of [empty, gamed]) expectGrade(student, check, 'is not written yet');
    for (const [i, round] of byRound(wrong).entries()) {
      expectGrade(wrongStudent(i), check, round.find(({ cell }) => cell === id)?.says);
    }
    if (!wrong.some(({ cell }) => cell === id)) faults.push(`no wrong answer to ${id} is listed`);
  }
  const known = new Set(blanks.map(({ id }) => id));
  for (const { cell } of wrong.filter((each) => !known.has(each.cell))) {
    faults.push(`a wrong answer is to ${cell}, which is no cell with a blank`);
  }
  return faults;
}

/**
 * Calls a function with a folder that has the sources of some units as nbgrader wants them.
 *
 * @template T
 * @param {import('./steps.mjs').Context} context
 * @param {readonly string[]} units
 * @param {(folder: string) => Promise<T>} use
 * @returns {Promise<T>}
 */
async function withCourse({ root }, units, use) {
  const folder = temporaryFolder(root, 'course');
  try {
    const course = courseFolder(root);
    cpSync(path.join(course, 'nbgrader_config.py'), path.join(folder, 'nbgrader_config.py'));
    for (const unit of units) {
      cpSync(path.dirname(sourceFile(root, unit)), path.join(folder, 'source', unit), {
        recursive: true,
      });
    }
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} folder
 * @param {string} unit
 */
function releasedFile(folder, unit) {
  return path.join(folder, 'release', unit, `${unit}.ipynb`);
}

/**
 * @param {import('./steps.mjs').Context} context
 * @param {string[]} programArguments
 */
async function nbgraderCommand({ root, env }, programArguments) {
  const script = fileURLToPath(new URL('course.py', import.meta.url));
  const python = venvProgram(root, 'python', courseEnvironment);
  // It starts programs of its environment by name.
  const PATH = `${path.dirname(python)}${path.delimiter}${env.PATH}`;
  const options = { cwd: root, env: { ...env, PATH, TARFLOW_QUICK: '1' } };
  const { status, output } = await run(python, [script, ...programArguments], options);
  if (status === 0) return output;
  const said = output.trim().split('\n').slice(-30).join('\n');
  throw new SetupError('nbgrader stopped', 'What it says stands below', said);
}
