/** Names of the two channels between page and shell. */
export const requestChannel = 'studio:request';
export const eventChannel = 'studio:event';
