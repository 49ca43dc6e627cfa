import { UserError } from './errors.js';

/**
 * Checks a number of things.
 *
 * @param what its name, for the error
 * @throws UserError where it is not a whole number above 0
 */
export function checkCount(what: string, value: number | undefined): void {
  if (value !== undefined && Number.isInteger(value) && value >= 1) return;
  throw new UserError(`${what} is ${value}`, 'Expected a whole number above 0');
}
