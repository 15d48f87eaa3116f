/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnsd, the daemon that answers DNS.
 */
#include "dnsd/dnsd.h"
#include "dnsd/hooks.h"

int main(int argc, char **argv)
{
	static const struct daemon_spec spec = {
		.name = "dnsd",
		.open = dnsd_open,
		.start = dnsd_start,
		.reload = dnsd_reload,
		.drain = dnsd_drain,
		.stop = dnsd_stop,
		.status = dnsd_status,
		.waits_for = dnsd_waits_for,
		.metrics = dnsd_metrics,
		.metrics_count = METRICS_COUNT,
	};

	return daemon_main(&spec, argc, argv);
}
