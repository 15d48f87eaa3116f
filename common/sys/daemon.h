/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The skeleton that all six daemons share: arguments, configuration, logging, run directory,
 * control socket, readiness, watchdog, signals, drain. main.c of a daemon is one struct daemon_spec
 * and a call of daemon_main.
 *
 *     prepare(d) before the jail: no thread may be started yet; configuration is loaded, the
 *                working directory is the run directory
 *     open(d)    files below the daemon's own paths and sockets may still be opened
 *     start(d)   in the jail (sandbox.h); begin work (endpoints, timers); READY=1 is sent after it
 *     reload(d)  the configuration was read again and is valid: d->conf is the new one,
 *                d->conf_before the old
 *     drain(d)   stop accepting, finish what is held; call daemon_drained(d) when done. At the
 *                latest after five seconds the process ends
 *     stop(d)    free everything
 *
 * SIGTERM and control "drain" start the drain; SIGHUP and control "reload" the reload. Exit status
 * 0 after a clean end, DAEMON_GIVEN_UP after daemon_give_up, else 1.
 *
 * Arguments: -config-file F, -config-dir D (in order, DAEMON_SOURCES_MAX at most), -run-dir D.
 * Environment: LISTEN_FDS/LISTEN_FDNAMES, NOTIFY_SOCKET, WATCHDOG_USEC as systemd sets them;
 * MUSTER_PARENT=pid: die with that parent (agent mode).
 */
#ifndef MUSTER_COMMON_SYS_DAEMON_H
#define MUSTER_COMMON_SYS_DAEMON_H

#include "common/base/json.h"
#include "common/sys/conf.h"
#include "common/sys/ipc.h"
#include "common/sys/log.h"
#include "common/sys/metrics.h"
#include "common/sys/net.h"
#include "common/sys/sandbox.h"

struct daemon;

enum { DAEMON_SOURCES_MAX = 64 };

/* What a daemon opens beside its folder in the run directory, its configuration and the system's
 * own files. A folder that is not there yet is made. */
enum daemon_base { DAEMON_RUN, DAEMON_DATA };
struct daemon_path {
	enum daemon_base base;
	const char *path;
	enum sandbox_right right;
};

struct daemon_spec {
	const char *name; /* "httpd": also the folder of its endpoints in the run directory */
	unsigned needs;	  /* SANDBOX_... */
	bool reads_tls;	  /* the certificate and key of the configuration */
	bool server_only; /* on a client node it ends at once, with status 0 */
	bool offline; /* sees no network interface: addresses of templates are not its business */
	const struct daemon_path *paths;
	size_t paths_count;
	int (*prepare)(struct daemon *d);
	int (*open)(struct daemon *d);
	int (*start)(struct daemon *d);
	/* May refuse what was read for a reload: ST_INVALID with the reason. NULL: any is fine. */
	int (*accept)(const struct conf *c, struct buf *why);
	void (*reload)(struct daemon *d);
	void (*drain)(struct daemon *d); /* NULL: nothing is held, end at once */
	void (*stop)(struct daemon *d);
	void (*status)(struct daemon *d,
		struct jsonw *w); /* members of the control answer's "detail" object */
	void (*dump)(struct daemon *d, struct jsonw *w); /* members of the "dump" object */
	const char *(*waits_for)(
		struct daemon *d); /* e.g. "catalogd", NULL when nothing is missing */
	const struct metric_row *metrics;
	size_t metrics_count;
};

struct daemon {
	const struct daemon_spec *spec;
	struct loop *loop;
	struct conf *conf;
	struct conf *conf_before; /* during reload only */
	struct metrics *metrics;
	void *self; /* the daemon's own struct */
	bool draining;
	struct daemon_private *private;
};

int daemon_main(const struct daemon_spec *spec, int argc, char **argv);
/* As SIGTERM does, for who has to be started anew: in agent mode it is. */
void daemon_drain(struct daemon *d);
void daemon_drained(struct daemon *d); /* ends the loop */
/* What the configuration asks for cannot be had, and the node is to end for it (retry_max): the
 * process ends with DAEMON_GIVEN_UP, which `muster agent` ends with. */
enum { DAEMON_GIVEN_UP = 3 };
void daemon_give_up(struct daemon *d);

/* A listening or datagram socket passed by the supervisor under this name (LISTEN_FDNAMES), in
 * order of `number`; -1: none. Owned by the daemon's process. */
int daemon_socket(struct daemon *d, const char *name, int number);
/* The one socket of this name, at an address of the configuration: what the supervisor passed, if
 * it is (still) bound to that address, else a new one, which systemd is given to hold until our
 * next life; the unit's FileDescriptorStoreMax= counts them. What was passed and nobody has asked
 * for when the start hook returns is closed. The descriptor, non-blocking and the caller's, or
 * -errno. */
int daemon_listen(
	struct daemon *d, const char *name, const struct net_address *a, int type, int backlog);

#endif
