/**
 * Adds what the objective of a run measures at a step besides its loss: an object of numbers by name, or null when it measures
 * nothing else.
 */
export const stepMeasures = `ALTER TABLE step_metrics ADD COLUMN measures TEXT;`;
