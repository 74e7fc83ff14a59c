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
      monprov =
        pkgs:
        pkgs.rustPlatform.buildRustPackage {
          pname = cargo.package.name;
          version = cargo.package.version;
          src = self;
          cargoLock.lockFile = ./Cargo.lock;
          # Built once and run for long, as in the Dockerfile.
          env = {
            CARGO_PROFILE_RELEASE_LTO = "fat";
            CARGO_PROFILE_RELEASE_CODEGEN_UNITS = "1";
          };
          # The tests run the real daemons: `tests/run` in a checkout.
          doCheck = false;
          meta = {
            description = cargo.package.description;
            license = pkgs.lib.licenses.asl20;
            mainProgram = cargo.package.name;
          };
        };
    in
    {
      packages = forEachSystem (pkgs: rec {
        default = monprov pkgs;
        # The relay as a container: nix build .#image && docker load < result
        image = pkgs.dockerTools.buildLayeredImage {
          name = "monprov/monprov";
          tag = cargo.package.version;
          # A shell and wget for the health check, and whom TLS trusts.
          contents = [
            default
            pkgs.busybox
            pkgs.cacert
          ];
          fakeRootCommands = "install -d -o 65534 -g 65534 -m 0700 var/lib/monprov";
          config = {
            Entrypoint = [ "/bin/monprov" ];
            User = "65534:65534";
            Volumes."/var/lib/monprov" = { };
            Env = [ "SSL_CERT_FILE=/etc/ssl/certs/ca-bundle.crt" ];
          };
        };
      });

      overlays.default = final: _: { monprov = monprov final; };

      lib.mkBundle = import ./src/nix/bundle.nix self;

      nixosModules.default = import ./src/nix/module.nix self;

      checks = forEachSystem (pkgs: {
        package = monprov pkgs;
        # The reference stack, without its secrets.
        bundle =
          (self.lib.mkBundle {
            inherit pkgs;
            project = self;
            profile = "prod";
            envFiles = [ ./profiles/prod.env.example ];
          }).build;
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
