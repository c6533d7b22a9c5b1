export { deliveryWorkflow } from './delivery.ts';
export { submissionWorkflow } from './submission.ts';
