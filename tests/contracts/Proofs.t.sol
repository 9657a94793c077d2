// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IPeered} from "peerage/interfaces/IPeered.sol";
import {ChallengeView, IProofs} from "peerage/interfaces/IProofs.sol";
import {SumTree} from "peerage/libraries/SumTree.sol";
import {AgreementState, Params, Possession} from "peerage/types/Types.sol";
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
        bytes32 own = keccak256(abi.encode(seed, block.chainid, address(proofs), id, PROVIDER));
        assertEq(indices[0], uint256(keccak256(abi.encode(own, 0))) % 6);
        assertEq(indices[1], 6 + uint256(keccak256(abi.encode(own, 1))) % 7);
        nextEpoch();
        (,, sequence,, leaves,) = proofs.challenge(id, 5);
        assertEq(sequence, 1);
        beatAll();
        nextEpoch();
        (,, sequence,, leaves,) = proofs.challenge(id, 6);
        assertEq(sequence, 2);
        assertEq(leaves, 20);
    }

    function test_challenge_tellsOfOldEpochsWhatWasDueAndProven() public {
        prove(id);
        for (uint256 epoch = 5; epoch <= 20; ++epoch) {
            nextEpoch();
            beatAll();
        }
        bytes32[] memory ids = new bytes32[](1);
        ids[0] = id;
        ChallengeView memory shown = proofs.challenges(ids, 4)[0];
        assertTrue(shown.due && shown.proven);
        assertEq(shown.indices.length, 0, "its seed is forgotten");
        shown = proofs.challenges(ids, 12)[0];
        assertTrue(shown.due && !shown.proven);
        assertEq(proofs.challenges(ids, 20)[0].indices.length, 2);
        assertFalse(proofs.challenges(ids, 0)[0].due);
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

    function test_prove_asksForEveryLeafOfASmallAgreement() public {
        Params memory params;
        params.epochSeconds = uint32(EPOCH);
        params.samples = 8;
        params.graceEpochs = 4;
        params.escrowEpochs = 8;
        deploy(params);
        join(3);
        toEpoch(2);
        beatAll();
        id = openBetween(CLIENT, PROVIDER);
        revise(id, 3);
        for (uint256 epoch = 3; epoch <= 4; ++epoch) {
            toEpoch(epoch);
            beatAll();
        }
        (,,,,, uint64[] memory indices) = proofs.challenge(id, 4);
        assertEq(indices.length, 3);
        for (uint64 i = 0; i < 3; ++i) {
            assertEq(indices[i], i);
        }
        prove(id);
    }

    function test_prove_refusesALeafTooFew() public {
        uint64[] memory indices = challenged();
        uint64[] memory one = new uint64[](1);
        one[0] = indices[0];
        bytes memory proof = treeOf(id, LEAVES).proof(one);
        vm.expectRevert(abi.encodeWithSelector(IProofs.LeafMissing.selector, id, indices[1]));
        send(PROVIDER, Possession(id, proof));
    }

    function test_prove_refusesALeafTooMany() public {
        uint64[] memory indices = challenged();
        uint64[] memory three = new uint64[](3);
        (three[0], three[1]) = (indices[0], indices[1]);
        three[2] = indices[1] == LEAVES - 1 ? LEAVES - 2 : LEAVES - 1;
        bytes memory proof = treeOf(id, LEAVES).proof(three);
        vm.expectPartialRevert(SumTree.MalformedProof.selector);
        send(PROVIDER, Possession(id, proof));
    }

    function test_prove_refusesAChangedLeaf() public {
        Possession memory answer = possession(id, 4);
        for (uint256 i = 0; i < answer.proof.length; i += 97) {
            answer.proof[i] ^= 0x01;
            vm.prank(node(PROVIDER));
            (bool accepted,) = address(proofs).call(abi.encodeCall(IProofs.prove, (one_(answer))));
            assertFalse(accepted);
            answer.proof[i] ^= 0x01;
        }
        send(PROVIDER, answer);
    }

    function test_prove_refusesAProofCutShortOrDrawnOut() public {
        Possession memory answer = possession(id, 4);
        bytes memory whole = answer.proof;
        for (uint256 length = 1; length < whole.length; length += 41) {
            answer.proof = new bytes(length);
            for (uint256 i = 0; i < length; ++i) {
                answer.proof[i] = whole[i];
            }
            vm.expectPartialRevert(SumTree.MalformedProof.selector);
            send(PROVIDER, answer);
        }
        answer.proof = bytes.concat(whole, hex"00");
        vm.expectPartialRevert(SumTree.MalformedProof.selector);
        send(PROVIDER, answer);
        answer.proof = bytes.concat(whole, SumTrees.closed(0, 0));
        vm.expectPartialRevert(SumTree.MalformedProof.selector);
        send(PROVIDER, answer);
        answer.proof = "";
        vm.expectRevert(abi.encodeWithSelector(IProofs.LeafMissing.selector, id, challenged()[0]));
        send(PROVIDER, answer);
    }

    function test_prove_refusesAJoinTooManyOrTooFew() public {
        bytes memory proof = bytes.concat(hex"00", treeOf(id, LEAVES).leaf(0));
        vm.expectRevert(abi.encodeWithSelector(SumTree.MalformedProof.selector, proof.length + 8));
        send(PROVIDER, Possession(id, bytes.concat(proof, bytes8(uint64(2)))));
        vm.expectRevert(abi.encodeWithSelector(SumTree.MalformedProof.selector, proof.length + 8));
        send(PROVIDER, Possession(id, bytes.concat(proof, bytes8(0))));
        proof = bytes.concat(hex"01", SumTrees.closed(LEAVES, 0), treeOf(id, LEAVES).leaf(0));
        vm.expectRevert(abi.encodeWithSelector(SumTree.MalformedProof.selector, proof.length + 8));
        send(PROVIDER, Possession(id, bytes.concat(proof, bytes8(uint64(1)))));
    }

    function test_prove_refusesAnotherLeafThanTheChallenged() public {
        uint64[] memory indices = challenged();
        uint64 expected = indices[0];
        indices[0] = (expected + 1) % 6;
        bytes memory proof = treeOf(id, LEAVES).proof(indices);
        vm.expectRevert(abi.encodeWithSelector(IProofs.WrongLeaf.selector, id, expected, indices[0]));
        send(PROVIDER, Possession(id, proof));
    }

    function test_prove_refusesAnyoneButTheProvider() public {
        Possession memory answer = possession(id, 4);
        vm.expectRevert(abi.encodeWithSelector(IProofs.NotProvider.selector, id, PROVIDER, node(CLIENT)));
        send(CLIENT, answer);
    }

    function test_prove_refusesAProofBeforeTheBeat() public {
        toEpoch(5);
        Possession memory answer = possession(id, 5);
        vm.expectRevert(abi.encodeWithSelector(IProofs.NotBeaten.selector, PROVIDER, 4, 5));
        send(PROVIDER, answer);
        beat(PROVIDER);
        send(PROVIDER, answer);
        assertTrue(proofs.proven(id, 5));
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
        both[1].proof[500] ^= 0x01;
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

    function challenged() private view returns (uint64[] memory indices) {
        (,,,,, indices) = proofs.challenge(id, 4);
    }

    function one_(Possession memory answer) private pure returns (Possession[] memory all) {
        all = new Possession[](1);
        all[0] = answer;
    }
}
