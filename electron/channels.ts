/** Names the channels between page and shell. */
export const requestChannel = 'studio:request';
export const cancelChannel = 'studio:cancel';
export const eventChannel = 'studio:event';
export const dropChannel = 'studio:drop';
