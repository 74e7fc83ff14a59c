{
  description = "Declarative, reproducible provisioning of monitoring stacks";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      forEachSystem = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      cargo = builtins.fromTOML (builtins.readFile ./Cargo.toml);
    in
    {
      packages = forEachSystem (pkgs: {
        default = pkgs.rustPlatform.buildRustPackage {
          pname = cargo.package.name;
          version = cargo.package.version;
          src = self;
          cargoLock.lockFile = ./Cargo.lock;
          # The tests run the real daemons: `tests/run` in a checkout.
          doCheck = false;
          meta = {
            description = cargo.package.description;
            license = pkgs.lib.licenses.asl20;
            mainProgram = cargo.package.name;
          };
        };
      });

      # What is needed to work on monprov, and the programs that it provisions.
      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.cargo
            pkgs.clippy
            pkgs.rustc
            pkgs.rustfmt
            pkgs.prometheus
            pkgs.prometheus.cli # promtool
            pkgs.prometheus-alertmanager
            pkgs.grafana
            pkgs.openbao
          ];
        };
      });
    };
}
