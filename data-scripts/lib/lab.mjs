import path from 'node:path';

/**
 * What JupyterLab is started with: this project's kernel is offered first, and START.md is open, as it
 * reads. Where another folder is given, that page is not in it.
 *
 * @param {string} root the project's folder
 * @param {readonly string[]} given by the user
 * @returns {string[]}
 */
export function labOptions(root, given) {
  const elsewhere = given.some((argument) => argument.includes('root_dir'));
  return [
    '--MultiKernelManager.default_kernel_name=tarflow',
    `--LabApp.app_settings_dir=${path.join(root, 'data-scripts', 'lab-settings')}`,
    ...(elsewhere ? [] : ['--LabApp.default_url=/lab/tree/START.md']),
    ...given,
  ];
}
