"""Refreshes from a repository with python-tuf and downloads what is named.

usage: client.py URL ROOT FOLDER NAME…   prints the file that each target was downloaded to
"""

import pathlib
import sys

from tuf.ngclient import Updater


def main(url: str, root: str, folder: str, *names: str) -> None:
    here = pathlib.Path(folder)
    metadata, targets = here / "metadata", here / "targets"
    for inside in (metadata, targets):
        inside.mkdir(parents=True, exist_ok=True)
    updater = Updater(
        metadata_dir=str(metadata),
        metadata_base_url=f"{url}/metadata/",
        target_dir=str(targets),
        target_base_url=f"{url}/targets/",
        bootstrap=pathlib.Path(root).read_bytes(),
    )
    updater.refresh()
    for name in names:
        info = updater.get_targetinfo(name)
        if info is None:
            sys.exit(f"nobody vouches for {name}")
        print(updater.download_target(info))


main(*sys.argv[1:])
