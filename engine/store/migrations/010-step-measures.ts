/** What the objective of a run tells of a step besides its loss: an object of numbers by name, null where that is nothing. */
export const stepMeasures = `ALTER TABLE step_metrics ADD COLUMN measures TEXT;`;
