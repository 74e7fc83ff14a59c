# A bundle that Nix builds itself:
#
#   bundle = monprov.lib.mkBundle { inherit pkgs; project = ./monitoring; profile = "prod"; };
#
# `"${bundle}"` is its path in the Nix store, the one that `monprov build prod` has on any other
# machine: the build's output is added again by what it contains, and monprov names bundles as
# Nix does. `bundle.build` is the derivation, which needs no building to be evaluated.
self:
{
  pkgs,
  # The folder with `profiles/` in it, and with monprov.lock and plugins where there are any.
  project,
  profile,
  # Values of the variables that the profile declares. They stand in the bundle: no secrets.
  variables ? { },
  # Files of such values, as `--env-file` takes them; they get into the Nix store.
  envFiles ? [ ],
  # Programs that look at the bundle too: pkgs.prometheus.cli, pkgs.prometheus-alertmanager.
  tools ? [ ],
  monprov ? self.packages.${pkgs.stdenv.hostPlatform.system}.default,
}:
let
  lines = builtins.map (name: "${name}=${builtins.toJSON (toString variables.${name})}\n") (
    builtins.attrNames variables
  );
  build =
    pkgs.runCommand "monprov-${profile}"
      {
        nativeBuildInputs = [ monprov ] ++ tools;
        files = builtins.map (file: "--env-file=${file}") envFiles;
        variables = pkgs.writeText "variables" (builtins.concatStringsSep "" lines);
      }
      ''
        # A variable of the profile must not be found among those of this build.
        bundle=$(env -i PATH="$PATH" HOME="$TMPDIR" TMPDIR="$TMPDIR" \
          monprov -C ${project} --state-dir "$TMPDIR/state" build ${profile} --no-secrets $files --env-file="$variables")
        cp -r "$bundle" "$out"
      '';
in
{
  inherit build;
  name = profile;
  outPath = builtins.path {
    name = profile;
    path = build;
  };
}
