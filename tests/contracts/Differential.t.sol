// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {stdJson} from "forge-std/StdJson.sol";
import {IAgreements, Standing} from "peerage/interfaces/IAgreements.sol";
import {IBeacon} from "peerage/interfaces/IBeacon.sol";
import {SumTree} from "peerage/libraries/SumTree.sol";
import {Proofs} from "peerage/Proofs.sol";
import {AgreementState, Params} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";
import {SumTrees} from "./SumTrees.sol";

/// @notice Thousands of random trees, challenges and proofs: the contracts against the Python packages, which made the vectors
/// (make_challenge_vectors.py), and the tests' prover against both.
contract DifferentialTest is Network {
    using SumTrees for SumTrees.Tree;
    using stdJson for string;

    struct Case {
        uint256 leaves;
        uint256 provider;
        bytes32 tag;
        bytes32 seed;
        bytes32 root;
        bytes32 challenge;
        bytes32 proof;
    }

    Proofs internal placed;

    function test_challengesAndProofsAreWhatPythonMakes() public {
        string memory json = vm.readFile("tests/vectors/challenges.json");
        Params memory params;
        params.epochSeconds = uint32(EPOCH);
        params.samples = uint16(json.readUint(".samples"));
        deploy(params);
        placed = Proofs(json.readAddress(".proofsAt"));
        deployCodeTo("Proofs.sol:Proofs", abi.encode(directory), address(placed));

        uint256[] memory leaves = json.readUintArray(".leaves");
        uint256[] memory providers = json.readUintArray(".providers");
        bytes32[] memory tags = json.readBytes32Array(".tags");
        bytes32[] memory seeds = json.readBytes32Array(".seeds");
        bytes32[] memory roots = json.readBytes32Array(".roots");
        bytes32[] memory challenges = json.readBytes32Array(".challenges");
        bytes32[] memory proofs_ = json.readBytes32Array(".proofs");
        assertGe(leaves.length, 2000);
        for (uint256 i = 0; i < leaves.length; ++i) {
            // A call for each, so that memory does not grow.
            this.check(Case(leaves[i], providers[i], tags[i], seeds[i], roots[i], challenges[i], proofs_[i]));
        }
    }

    function check(Case calldata given) external {
        vm.mockCall(address(beacon), abi.encodeWithSelector(IBeacon.seed.selector), abi.encode(given.seed, true));
        vm.mockCall(address(beacon), abi.encodeWithSelector(IBeacon.quorate.selector), abi.encode(true));
        vm.mockCall(
            address(agreements), abi.encodeWithSelector(IAgreements.standing.selector), abi.encode(standing(given))
        );
        (bool due,,,,, uint64[] memory indices) = placed.challenge(given.tag, 1);
        assertTrue(due);
        assertEq(keccak256(abi.encodePacked(indices)), given.challenge);

        SumTrees.Tree memory tree = SumTrees.Tree(given.tag, given.leaves, false, false);
        bytes memory proof = tree.proof(indices);
        assertEq(keccak256(proof), given.proof);
        (bytes32 root, uint256 count, uint256[] memory opened) = this.fold(proof);
        assertEq(root, given.root);
        assertEq(count, given.leaves);
        assertEq(keccak256(abi.encodePacked(opened)), given.challenge);
    }

    function fold(bytes calldata proof) external view returns (bytes32, uint256, uint256[] memory) {
        return SumTree.fold(proof, 8);
    }

    function standing(Case calldata given) private pure returns (Standing memory) {
        return Standing({
            client: 1,
            provider: uint32(given.provider),
            state: AgreementState.ACTIVE,
            startEpoch: 0,
            endEpoch: 2,
            sequence: 1,
            root: given.root,
            leaves: uint64(given.leaves)
        });
    }
}
