import * as os from 'node:os';
import * as path from 'node:path';

/**
 * The one folder for everything that is downloaded or built outside the project: the TensorFlow
 * libraries, the native addon, the data sets, captured graphs. It is TARFLOW_CACHE, else
 * $XDG_CACHE_HOME/tarflow, else ~/.cache/tarflow. The scripts in data-scripts/ follow the same rule.
 */
export function cacheFolder(): string {
  const { TARFLOW_CACHE, XDG_CACHE_HOME } = process.env;
  if (TARFLOW_CACHE) return path.resolve(TARFLOW_CACHE);
  // The XDG specification says that a relative path in XDG_CACHE_HOME is ignored.
  const base = XDG_CACHE_HOME && path.isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : undefined;
  return path.join(base ?? path.join(os.homedir(), '.cache'), 'tarflow');
}
