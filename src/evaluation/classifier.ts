import { z } from 'zod';
import { startEngine } from '../backend/engine.js';
import { UserError } from '../backend/errors.js';
import { foldIn, normal, randomKey } from '../backend/random.js';
import { tf } from '../backend/tf.js';
import { disposeTree, type Leaves, leaves, valueAndGradient, withLeaves } from '../backend/tree.js';
import { epochOrder, type ImageDataset, imagesTensor, labelBatch } from '../data/index.js';
import { checkImageSize, type FlowConfig, type ImageSize } from '../flow/index.js';
