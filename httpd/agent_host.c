/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/agent/host: memory, processors, system and disk of the machine, from /proc. Its contract is
 * loose: what is said is true, and more may be said.
 */
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/sys/clock.h"
#include "httpd/agent.h"
#include "httpd/routes.h"

static void number_put(struct jsonw *w, const char *key, uint64_t v)
{
	jsonw_key(w, str_of(key));
	jsonw_u64(w, v);
}

static void text_put(struct jsonw *w, const char *key, const char *v)
{
	jsonw_key(w, str_of(key));
	jsonw_cstr(w, v);
}

/* The rows of /proc/meminfo that are shown, in bytes. */
static void memory_put(struct jsonw *w)
{
	static const struct {
		const char *line, *key;
	} rows[] = {
		{ "MemTotal:", "total" },
		{ "MemAvailable:", "available" },
		{ "MemFree:", "free" },
		{ "Active:", "active" },
		{ "Inactive:", "inactive" },
		{ "Buffers:", "buffers" },
		{ "Cached:", "cached" },
		{ "Dirty:", "dirty" },
		{ "Shmem:", "shared" },
		{ "SwapTotal:", "swaptotal" },
		{ "SwapFree:", "swapfree" },
	};
	uint64_t total = 0, available = 0;
	FILE *f = fopen("/proc/meminfo", "re");
	char line[256];

	jsonw_keyc(w, "Memory");
	jsonw_open(w, '{');
	while (f && fgets(line, sizeof(line), f)) {
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			size_t n = strlen(rows[i].line);
			unsigned long kib;

			if (!strncmp(line, rows[i].line, n) &&
				sscanf(line + n, " %lu", &kib) == 1) {
				number_put(w, rows[i].key, (uint64_t)kib * 1024);
				total = i == 0 ? (uint64_t)kib * 1024 : total;
				available = i == 1 ? (uint64_t)kib * 1024 : available;
			}
		}
	}
	if (f) {
		fclose(f);
	}
	number_put(w, "used", total - min_of(available, total));
	jsonw_keyc(w, "usedPercent");
	jsonw_double(
		w, total ? (double)(total - min_of(available, total)) * 100 / (double)total : 0);
	jsonw_close(w, '}');
}

static void cpu_put(struct jsonw *w)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[512];
	uint64_t number = 0;

	jsonw_keyc(w, "CPU");
	jsonw_open(w, '[');
	while (f && fgets(line, sizeof(line), f)) {
		struct str value, key = str_split(str_of(line), ':', &value);

		if (str_is(str_trim(key), "model name")) {
			jsonw_open(w, '{');
			number_put(w, "cpu", number++);
			jsonw_put_str(w, "modelName", str_trim(value));
			number_put(w, "cores", 1);
			jsonw_close(w, '}');
		}
	}
	if (f) {
		fclose(f);
	}
	jsonw_close(w, ']');
}

static void host_put(struct jsonw *w, int64_t now_s)
{
	FILE *f = fopen("/proc/uptime", "re");
	double uptime = 0;
	struct utsname u;

	if (f) {
		if (fscanf(f, "%lf", &uptime) != 1) {
			uptime = 0;
		}
		fclose(f);
	}
	jsonw_keyc(w, "Host");
	jsonw_open(w, '{');
	if (uname(&u) == 0) {
		text_put(w, "hostname", u.nodename);
		text_put(w, "kernelVersion", u.release);
		text_put(w, "kernelArch", u.machine);
	}
	number_put(w, "uptime", (uint64_t)uptime);
	number_put(w, "bootTime", (uint64_t)(now_s - (int64_t)uptime));
	text_put(w, "os", "linux");
	jsonw_close(w, '}');
}

static void disk_put(struct exchange *x, struct jsonw *w)
{
	OWN(free) char *path = str_dup(x->httpd->conf->data_dir);
	struct statvfs v;

	jsonw_keyc(w, "Disk");
	if (statvfs(path, &v)) {
		jsonw_null(w);
		return;
	}
	jsonw_open(w, '{');
	text_put(w, "path", path);
	number_put(w, "total", (uint64_t)v.f_blocks * v.f_frsize);
	number_put(w, "free", (uint64_t)v.f_bavail * v.f_frsize);
	number_put(w, "used", (uint64_t)(v.f_blocks - v.f_bfree) * v.f_frsize);
	number_put(w, "inodesTotal", v.f_files);
	number_put(w, "inodesFree", v.f_ffree);
	jsonw_close(w, '}');
}

void handle_agent_host(struct exchange *x)
{
	struct jsonw w = jsonw_of(exchange_body(x));
	struct wall now = clock_wall();

	jsonw_open(&w, '{');
	memory_put(&w);
	cpu_put(&w);
	host_put(&w, now.ns / NS_PER_S);
	disk_put(x, &w);
	jsonw_put_i64(&w, "CollectionTime", now.ns);
	jsonw_keyc(&w, "Errors");
	jsonw_null(&w);
	jsonw_close(&w, '}');
	answer_json(x, 200);
}
