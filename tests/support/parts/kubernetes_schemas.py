"""Holds resources against the published schemas: NAME.json with a list of resources each.

Prints what is wrong, a line each. Resources of other groups than the cluster's own are passed over.
"""
import json
import sys

import kubernetes_validate

VERSIONS = ["1.35", "1.36", "1.37"]
FOREIGN = ("monitoring.coreos.com/",)

for file in sys.argv[1:]:
    for resource in json.load(open(file)):
        if resource["apiVersion"].startswith(FOREIGN):
            continue
        name = f"{file}: {resource['kind']} {resource['metadata']['name']}"
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(resource, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(step) for step in error.path)
                print(f"{name} ({version}): {path}: {error.message}")
            except kubernetes_validate.SchemaNotFoundError as error:
                print(f"{name} ({version}): {error.message}")
