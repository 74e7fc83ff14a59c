# As much of nixpkgs as flake.nix uses, with real derivations, so that Nix can evaluate it
# without the network. An attribute that flake.nix misspells is an error here too if it is
# none of these names.
{
  outputs =
    { self }:
    let
      lib = {
        genAttrs =
          names: make:
          builtins.listToAttrs (
            map (name: {
              inherit name;
              value = make name;
            }) names
          );
        licenses.asl20 = {
          spdxId = "Apache-2.0";
        };
      };
      package =
        system: name: extra:
        derivation {
          inherit name system;
          builder = "/bin/sh";
        }
        // extra;
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ] (
        system:
        lib.genAttrs [
          "busybox"
          "cacert"
          "cargo"
          "clippy"
          "grafana"
          "openbao"
          "prometheus-alertmanager"
          "rustc"
          "rustfmt"
        ] (name: package system name { })
        // {
          inherit lib;
          prometheus = package system "prometheus" { cli = package system "promtool" { }; };
          mkShell =
            { packages }: package system "shell" { inherit packages; };
          dockerTools.buildLayeredImage =
            {
              name,
              tag,
              contents,
              fakeRootCommands,
              config,
            }:
            package system "image-${tag}" { inherit contents config; };
          rustPlatform.buildRustPackage =
            {
              pname,
              version,
              src,
              cargoLock,
              doCheck,
              meta,
            }:
            assert builtins.pathExists "${src}/src/main.rs";
            assert (builtins.fromTOML (builtins.readFile cargoLock.lockFile)).version >= 3;
            package system "${pname}-${version}" { inherit pname version meta; };
        }
      );
    };
}
