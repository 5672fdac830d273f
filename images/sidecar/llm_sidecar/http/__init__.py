"""The two HTTP faces: the public one on its exact allow-list of paths, and the admin one."""
