"""Compiles the kernels while a wheel or an editable installation is made, and never fails it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

sys.path.insert(0, str(Path(__file__).parents[3]))  # hatchling loads this file by its path

from hurnet_stream.core.native import LIBRARY
from hurnet_stream.core.native.build import build


class NativeKernels(BuildHookInterface):  # type: ignore[misc]  # hatchling is there while building only
    """A wheel with kernels is for one platform and every Python; without, for all platforms."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build in place; called by hatchling before it gathers the files."""
        if failed := build():
            self.app.display_warning(f"no native kernels, slower ones serve instead: {failed}")
            return
        build_data["artifacts"].append(f"/{LIBRARY.relative_to(self.root).as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{self._platform()}"

    @staticmethod
    def _platform() -> str:
        return next(tag for tag in platform_tags() if not tag.startswith(("manylinux", "musllinux")))
