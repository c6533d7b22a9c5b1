/* Runs from their frame to their result. */
#pragma once

/* Takes the current frame, makes its run, and leaves the sandbox without a process or a file of it. */
void make_run(void);
