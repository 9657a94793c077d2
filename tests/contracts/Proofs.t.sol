// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IPeered} from "peerage/interfaces/IPeered.sol";
import {IProofs} from "peerage/interfaces/IProofs.sol";
import {SumTree} from "peerage/libraries/SumTree.sol";
import {AgreementState, Possession, Sample} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";
import {SumTrees} from "./SumTrees.sol";

contract ProofsTest is Network {
    using SumTrees for SumTrees.Tree;

    uint32 internal constant CLIENT = 1;
    uint32 internal constant PROVIDER = 2;
    uint64 internal constant LEAVES = 13;

    bytes32 internal id;

    /// @dev The agreement's first revision is of epoch 2, so epoch 4 is the first with something to prove.
    function setUp() public {
        deploy();
        join(3);
        toEpoch(2);
        beatAll();
        id = openBetween(CLIENT, PROVIDER);
        revise(id, LEAVES);
        toEpoch(3);
        beatAll();
        toEpoch(4);
        beatAll();
    }

    function test_prove_recordsTheEpoch() public {
        vm.expectEmit(address(proofs));
        emit IProofs.Proven(id, 4, PROVIDER);
        prove(id);
        assertTrue(proofs.proven(id, 4));
        assertEq(proofs.provenWord(id, 0), 1 << 4);
        assertFalse(proofs.proven(id, 3));
    }

    function test_prove_passesOverWhatIsProven() public {
        prove(id);
        prove(id);
        assertTrue(proofs.proven(id, 4));
    }

    function test_challenge_isAboutTheFrozenRevision() public {
        revise(id, 20);
        (bool due, bytes32 seed, uint64 sequence, bytes32 root, uint64 leaves, uint64[] memory indices) =
            proofs.challenge(id, 4);
        assertTrue(due);
        assertEq(sequence, 1);
        assertEq(leaves, LEAVES);
        assertEq(root, treeOf(id, LEAVES).root());
        assertEq(indices.length, 2);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 expected =
                uint256(keccak256(abi.encode(seed, block.chainid, address(proofs), id, PROVIDER, i))) % LEAVES;
            assertEq(indices[i], expected);
        }
        nextEpoch();
        (,, sequence,, leaves,) = proofs.challenge(id, 5);
        assertEq(sequence, 1);
        beatAll();
        nextEpoch();
        (,, sequence,, leaves,) = proofs.challenge(id, 6);
        assertEq(sequence, 2);
        assertEq(leaves, 20);
    }

    function test_challenge_nothingBeforeTheRevisionIsFrozen() public view {
        (bool due,,,, uint64 leaves, uint64[] memory indices) = proofs.challenge(id, 3);
        assertFalse(due);
        assertEq(leaves, 0);
        assertEq(indices.length, 0);
    }

    function test_challenges_showManyAtOnce() public {
        prove(id);
        bytes32[] memory ids = new bytes32[](2);
        ids[0] = id;
        ids[1] = keccak256("unknown");
        assertTrue(proofs.challenges(ids, 4)[0].due);
        assertTrue(proofs.challenges(ids, 4)[0].proven);
        assertFalse(proofs.challenges(ids, 4)[1].due);
    }

    function test_prove_refusesAWrongNumberOfSamples() public {
        Possession memory answer = possession(id, 4);
        Sample[] memory one = new Sample[](1);
        one[0] = answer.samples[0];
        answer.samples = one;
        vm.expectRevert(abi.encodeWithSelector(IProofs.WrongSampleCount.selector, id, 1, 2));
        send(PROVIDER, answer);
    }

    function test_prove_refusesAChangedLeaf() public {
        Possession memory answer = possession(id, 4);
        answer.samples[1].leaf[1023] ^= 0x01;
        vm.expectPartialRevert(IProofs.WrongRoot.selector);
        send(PROVIDER, answer);
    }

    function test_prove_refusesALeafOfAnotherSize() public {
        Possession memory answer = possession(id, 4);
        answer.samples[0].leaf = new bytes(1023);
        vm.expectRevert(abi.encodeWithSelector(SumTree.BadLeafSize.selector, 1023));
        send(PROVIDER, answer);
    }

    function test_prove_refusesAPathOfUnequalLengths() public {
        Possession memory answer = possession(id, 4);
        uint256 depth = answer.samples[0].siblings.length;
        answer.samples[0].counts = new uint64[](depth - 1);
        vm.expectRevert(abi.encodeWithSelector(SumTree.BadPath.selector, depth, depth - 1));
        send(PROVIDER, answer);
    }

    function test_prove_refusesChangedCounts() public {
        Possession memory answer = possession(id, 4);
        answer.samples[0].counts[0] += 1;
        vm.expectPartialRevert(IProofs.WrongRoot.selector);
        send(PROVIDER, answer);
    }

    function test_prove_refusesAnotherLeafThanTheChallenged() public {
        Possession memory answer = possession(id, 4);
        (,,,,, uint64[] memory indices) = proofs.challenge(id, 4);
        uint256 other = (indices[0] + 1) % LEAVES;
        answer.samples[0] = treeOf(id, LEAVES).sample(other);
        vm.expectRevert(abi.encodeWithSelector(IProofs.WrongLeaf.selector, id, 0, indices[0], other));
        send(PROVIDER, answer);
    }

    function test_prove_refusesAnyoneButTheProvider() public {
        Possession memory answer = possession(id, 4);
        vm.expectRevert(abi.encodeWithSelector(IProofs.NotProvider.selector, id, PROVIDER, node(CLIENT)));
        send(CLIENT, answer);
    }

    function test_prove_refusesANonMember() public {
        Possession[] memory none = new Possession[](0);
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, address(this)));
        proofs.prove(none);
    }

    function test_prove_refusesAnEpochWithoutASeed() public {
        toEpoch(6); // nobody beat in 5
        Possession[] memory none = new Possession[](0);
        vm.expectRevert(abi.encodeWithSelector(IProofs.EpochVoid.selector, 6));
        vm.prank(node(PROVIDER));
        proofs.prove(none);
    }

    function test_prove_refusesWhenNothingIsRecorded() public {
        bytes32 empty = openBetween(CLIENT, PROVIDER);
        Possession memory answer;
        answer.agreement = empty;
        vm.expectRevert(abi.encodeWithSelector(IProofs.NothingDue.selector, empty, AgreementState.ACTIVE, 0, 4));
        send(PROVIDER, answer);
    }

    function test_prove_oneWrongAmongManyRevertsAll() public {
        bytes32 second = openBetween(3, PROVIDER);
        revise(second, 5);
        for (uint256 epoch = 5; epoch <= 6; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        Possession[] memory both = new Possession[](2);
        both[0] = possession(id, 6);
        both[1] = possession(second, 6);
        both[1].samples[1].leaf[0] ^= 0x01;
        vm.expectPartialRevert(IProofs.WrongRoot.selector);
        vm.prank(node(PROVIDER));
        proofs.prove(both);
        assertFalse(proofs.proven(id, 6));

        both[1] = possession(second, 6);
        vm.prank(node(PROVIDER));
        proofs.prove(both);
        assertTrue(proofs.proven(id, 6));
        assertTrue(proofs.proven(second, 6));
    }
}
