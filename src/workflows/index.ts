export { deliveryWorkflow } from './delivery.ts';
export { overrideWorkflow } from './override.ts';
export { submissionWorkflow } from './submission.ts';
export { trialWorkflow } from './trial.ts';
