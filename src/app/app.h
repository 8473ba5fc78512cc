/* The server from its start to its stop. */
#ifndef APP_APP_H
#define APP_APP_H

struct settings;

/* Starts the server, serves until it is told to stop (SIGTERM, SIGINT), stops it: the orders in
 * which are all that app/ knows. The log has been set up. Nothing is half-started: on an error all
 * that was opened is closed again, and one clear line has been logged.
 *
 * Threads  main, once. It blocks and handles the signals.
 * Returns  an exit code, of sysexits.h: 0 stopped as told; EX_UNAVAILABLE (69) an address in use
 *          or not to be had, or no memory or descriptors to start with; EX_NOPERM (77)
 *          permission; EX_CONFIG (78) settings that can't work here. */
int app_run(const struct settings *);

#endif
