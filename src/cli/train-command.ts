import { textEncoderNames } from '../conditions/text/named-encoder.js';
import { datasetForms, datasetNames } from '../data/index.js';
import { knownExperiments } from '../training/experiment.js';
import { count, modeOption, positive } from './arguments.js';
import { defineCommand } from './command.js';
import { type TrainOptions, trainedRun } from './trained-run.js';
import { experimentList, wrapped } from './training-report.js';

interface TrainCommandOptions extends TrainOptions {
  list?: string | true;
}

/** Examples where experiments are known by name. */
const named = `
  $ tarflow train --list
  $ tarflow train --list fashion-mnist-density
  $ tarflow train --experiment fashion-mnist-density --out runs/density
  $ tarflow train --out runs/density --replan --set steps=20000
  $ tarflow train --experiment fashion-mnist-density --out runs/second --from runs/density \\
      --set averageDecay=0.999
  $ tarflow train --experiment emoji-text --data emoji-composed-32 --text-encoder minilm --out runs/pixels \\
      --set patchSize=4 image.channels=3 image.height=32 image.width=32 noise=gaussian:0.05`;

/** `tarflow train`: pictures or an experiment, into a folder. */
export const train = defineCommand({
  name: 'train',
  description: 'train a model of your pictures, or an experiment, into a folder',
  options: (command) =>
    command
      .option('--data <name>', 'images to train on, as folder:PATH; see below')
      .option('--minutes <n>', 'how long a model is chosen to train without --experiment', positive)
      .option('--out <folder>', 'where the run goes (default: runs/NAME, as the data are called)')
      .option(
        '--experiment <name>',
        'model and settings, of --list, or a .json file (default: chosen for the data)',
      )
      .option('--fast-decode', 'decode JPEGs of official sets faster and not exactly', false)
      .option(
        '--text-encoder <name>',
        `what reads the captions of data that come without their states: ${textEncoderNames.join(', ')}`,
      )
      .option('--set <key=value...>', 'replace values of the experiment', [])
      .option('--from <path>', 'begin with a run, a snapshot or a checkpoint; see below')
      .option('--resume', 'go on with the run in the folder', false)
      .option('--replan', 'resume with another schedule: steps, learning rate, intervals', false)
      .addOption(modeOption())
      .option('--examine', 'name where a loss or gradient begins that is not finite', false)
      .option('--processes <n>', 'share each batch among so many processes of this machine', count)
      .option('--list [name]', 'list the experiments, or the values of one of them'),
  help: () => `\
--data is one of
${wrapped([...datasetNames, ...datasetForms])}
Without --experiment, model, batch and steps are chosen from the number of pictures, their size, --minutes
(default 30) and the time of a step here; what was chosen is said, and stands in the run's run.json.
folder:PATH takes CLASS/IMAGE.png, IMAGE.png without classes, or folders train, validation and test of
either; without them a tenth of each class is held out. Images are brought to the model's size, those of
official sets as the papers do it, and the official validation images of a set are its split test.
An experiment has to have as many classes as the data, or none (--set classes=0).

Control-C stops after the current step, saves, and says how to resume. A run that was killed goes on
from its last saved step. While a run is open, its folder is locked. --resume goes on as the run's folder
records it; no other option is needed. --replan takes --set for steps, learning rates, intervals.

Where a loss is not finite the run ends, and its last saved step stays. --resume --examine makes the steps
after it again, and names the operation, the parameter and the sample where that began.

--from begins a new run of the same model with the weights, and their mean, that another one learnt.
AdamW's moments and the schedule begin anew; steps are counted on. Of a checkpoint the weights are the mean
where its run kept one. A STARFlow or an autoencoder may go on with images of another size (--set
image.height=… image.width=…). Latents have to be of the scale and the autoencoder that it was trained on.

A new run of 2,000 steps or more of a small model is compiled by XLA, others are captured graphs. Before a
flow's run of 2,000 steps or more on an idle processor a few steps are timed, once for a model and
processor, by two uses of the threads. TF_NUM_INTRAOP_THREADS=1 chooses a part of the batch in each
thread, a higher number all threads for each operation.

--processes starts them by MPI's mpirun, each with its share of the threads; \`mpirun -n N npx tarflow
train\` and \`srun\` do so on several machines. N has to divide the batch, which is that of all. Samples
and their order are those of one process, and sums are rounded otherwise.

Examples:
  $ tarflow train --data folder:mypics
  $ tarflow train --data folder:mypics --minutes 120 --out runs/longer --set seed=2
  $ tarflow train --out runs/mypics --resume
  $ tarflow train --data folder:mypics --processes 2
  $ tarflow train --experiment my-flow.json --out runs/mine${knownExperiments().length > 0 ? named : ''}`,
  run: async (options: TrainCommandOptions) =>
    options.list === undefined ? trainedRun(options) : experimentList(options.list),
});
