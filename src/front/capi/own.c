// SPDX-License-Identifier: Apache-2.0
/* own: criu_X(): the same functions on options that belong to the process. */
#include "front/capi/capi.h"

const char *criu_lib_version = CRIU_VERSION;

static criu_opts *own;

/* A caller that forgot criu_init_opts() gets the defaults. */
static criu_opts *opts_own(void)
{
	if (!own)
		criu_local_init_opts(&own);
	return own;
}

int criu_init_opts(void)
{
	return criu_local_init_opts(&own);
}

void criu_free_opts(void)
{
	criu_local_free_opts(own);
	own = NULL;
}

int criu_set_service_binary(const char *path)
{
	return criu_local_set_service_binary(opts_own(), path);
}

int criu_set_service_address(const char *path)
{
	return criu_local_set_service_address(opts_own(), path);
}

void criu_set_service_fd(int fd)
{
	criu_local_set_service_fd(opts_own(), fd);
}

void criu_free_service(void)
{
	criu_local_free_service(opts_own());
}

void criu_set_pid(int pid)
{
	criu_local_set_pid(opts_own(), pid);
}

void criu_set_images_dir_fd(int fd)
{
	criu_local_set_images_dir_fd(opts_own(), fd);
}

void criu_set_work_dir_fd(int fd)
{
	criu_local_set_work_dir_fd(opts_own(), fd);
}

void criu_set_auto_dedup(bool auto_dedup)
{
	criu_local_set_auto_dedup(opts_own(), auto_dedup);
}

void criu_set_auto_ext_mnt(bool auto_ext_mnt)
{
	criu_local_set_auto_ext_mnt(opts_own(), auto_ext_mnt);
}

void criu_set_evasive_devices(bool evasive_devices)
{
	criu_local_set_evasive_devices(opts_own(), evasive_devices);
}

void criu_set_ext_masters(bool ext_masters)
{
	criu_local_set_ext_masters(opts_own(), ext_masters);
}

void criu_set_ext_sharing(bool ext_sharing)
{
	criu_local_set_ext_sharing(opts_own(), ext_sharing);
}

void criu_set_ext_unix_sk(bool ext_unix_sk)
{
	criu_local_set_ext_unix_sk(opts_own(), ext_unix_sk);
}

void criu_set_file_locks(bool file_locks)
{
	criu_local_set_file_locks(opts_own(), file_locks);
}

void criu_set_force_irmap(bool force_irmap)
{
	criu_local_set_force_irmap(opts_own(), force_irmap);
}

void criu_set_leave_running(bool leave_running)
{
	criu_local_set_leave_running(opts_own(), leave_running);
}

void criu_set_link_remap(bool link_remap)
{
	criu_local_set_link_remap(opts_own(), link_remap);
}

void criu_set_manage_cgroups(bool manage_cgroups)
{
	criu_local_set_manage_cgroups(opts_own(), manage_cgroups);
}

void criu_set_mntns_compat_mode(bool mntns_compat_mode)
{
	criu_local_set_mntns_compat_mode(opts_own(), mntns_compat_mode);
}

void criu_set_orphan_pts_master(bool orphan_pts_master)
{
	criu_local_set_orphan_pts_master(opts_own(), orphan_pts_master);
}

void criu_set_shell_job(bool shell_job)
{
	criu_local_set_shell_job(opts_own(), shell_job);
}

void criu_set_skip_file_rwx_check(bool skip_file_rwx_check)
{
	criu_local_set_skip_file_rwx_check(opts_own(), skip_file_rwx_check);
}

void criu_set_tcp_close(bool tcp_close)
{
	criu_local_set_tcp_close(opts_own(), tcp_close);
}

void criu_set_tcp_established(bool tcp_established)
{
	criu_local_set_tcp_established(opts_own(), tcp_established);
}

void criu_set_tcp_skip_in_flight(bool tcp_skip_in_flight)
{
	criu_local_set_tcp_skip_in_flight(opts_own(), tcp_skip_in_flight);
}

void criu_set_track_mem(bool track_mem)
{
	criu_local_set_track_mem(opts_own(), track_mem);
}

void criu_set_unprivileged(bool unprivileged)
{
	criu_local_set_unprivileged(opts_own(), unprivileged);
}

void criu_set_weak_sysctls(bool weak_sysctls)
{
	criu_local_set_weak_sysctls(opts_own(), weak_sysctls);
}

int criu_set_parent_images(const char *path)
{
	return criu_local_set_parent_images(opts_own(), path);
}

int criu_set_log_file(const char *name)
{
	return criu_local_set_log_file(opts_own(), name);
}

int criu_set_root(const char *path)
{
	return criu_local_set_root(opts_own(), path);
}

int criu_set_freeze_cgroup(const char *path)
{
	return criu_local_set_freeze_cgroup(opts_own(), path);
}

int criu_set_lsm_profile(const char *name)
{
	return criu_local_set_lsm_profile(opts_own(), name);
}

int criu_set_lsm_mount_context(const char *name)
{
	return criu_local_set_lsm_mount_context(opts_own(), name);
}

int criu_set_config_file(const char *path)
{
	return criu_local_set_config_file(opts_own(), path);
}

void criu_set_log_level(int log_level)
{
	criu_local_set_log_level(opts_own(), log_level);
}

void criu_set_cpu_cap(unsigned int cap)
{
	criu_local_set_cpu_cap(opts_own(), cap);
}

void criu_set_ghost_limit(unsigned int bytes)
{
	criu_local_set_ghost_limit(opts_own(), bytes);
}

void criu_set_timeout(unsigned int seconds)
{
	criu_local_set_timeout(opts_own(), seconds);
}

void criu_set_empty_ns(int namespaces)
{
	criu_local_set_empty_ns(opts_own(), namespaces);
}

void criu_set_pidfd_store_sk(int sk)
{
	criu_local_set_pidfd_store_sk(opts_own(), sk);
}

void criu_set_manage_cgroups_mode(enum criu_cg_mode mode)
{
	criu_local_set_manage_cgroups_mode(opts_own(), mode);
}

int criu_set_network_lock(enum criu_network_lock_method method)
{
	return criu_local_set_network_lock(opts_own(), method);
}

int criu_set_pre_dump_mode(enum criu_pre_dump_mode mode)
{
	return criu_local_set_pre_dump_mode(opts_own(), mode);
}

int criu_set_page_server_address_port(const char *address, int port)
{
	return criu_local_set_page_server_address_port(opts_own(), address, port);
}

int criu_set_exec_cmd(int argc, char *argv[])
{
	return criu_local_set_exec_cmd(opts_own(), argc, argv);
}

int criu_add_ext_mount(const char *key, const char *val)
{
	return criu_local_add_ext_mount(opts_own(), key, val);
}

int criu_add_veth_pair(const char *in, const char *out)
{
	return criu_local_add_veth_pair(opts_own(), in, out);
}

int criu_add_cg_root(const char *ctrl, const char *path)
{
	return criu_local_add_cg_root(opts_own(), ctrl, path);
}

int criu_add_enable_fs(const char *fs)
{
	return criu_local_add_enable_fs(opts_own(), fs);
}

int criu_add_skip_mnt(const char *mnt)
{
	return criu_local_add_skip_mnt(opts_own(), mnt);
}

int criu_add_irmap_path(const char *path)
{
	return criu_local_add_irmap_path(opts_own(), path);
}

int criu_add_external(const char *key)
{
	return criu_local_add_external(opts_own(), key);
}

int criu_add_unix_sk(unsigned int inode)
{
	return criu_local_add_unix_sk(opts_own(), inode);
}

int criu_add_inherit_fd(int fd, const char *key)
{
	return criu_local_add_inherit_fd(opts_own(), fd, key);
}

int criu_join_ns_add(const char *ns, const char *ns_file, const char *extra_opt)
{
	return criu_local_join_ns_add(opts_own(), ns, ns_file, extra_opt);
}

void criu_set_notify_cb(int (*cb)(char *action, criu_notify_arg_t na))
{
	criu_local_set_notify_cb(opts_own(), cb);
}

int criu_check(void)
{
	return criu_local_check(opts_own());
}

int criu_dump(void)
{
	return criu_local_dump(opts_own());
}

int criu_pre_dump(void)
{
	return criu_local_pre_dump(opts_own());
}

int criu_restore(void)
{
	return criu_local_restore(opts_own());
}

int criu_restore_child(void)
{
	return criu_local_restore_child(opts_own());
}

int criu_dump_iters(int (*more)(criu_predump_info pi))
{
	return criu_local_dump_iters(opts_own(), more);
}

int criu_get_version(void)
{
	return criu_local_get_version(opts_own());
}

int criu_check_version(int minimum)
{
	return criu_local_check_version(opts_own(), minimum);
}

int criu_feature_check(struct criu_feature_check *features, size_t size)
{
	return criu_local_feature_check(opts_own(), features, size);
}
