/** The thread that makes batches: the one place where it meets the families of models. */
import { serveBatches } from '../training/batches/batch-source.js';
import { familyOf } from './registry.js';

serveBatches(familyOf);
